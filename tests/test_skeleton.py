"""The five parts own every keypoint once; mirroring twice changes nothing."""

from xdancer import skeleton


def test_parts_partition_the_sixty_keypoints() -> None:
    owned = [index for part in skeleton.BodyPart for index in skeleton.PART_KEYPOINTS[part]]
    assert sorted(owned) == list(range(60))
    assert [len(skeleton.PART_KEYPOINTS[part]) for part in skeleton.BodyPart] == [7, 6, 5, 21, 21]


def test_mirror_is_an_involution_that_swaps_the_hands() -> None:
    assert [skeleton.MIRROR[index] for index in skeleton.MIRROR] == list(range(60))
    assert skeleton.MIRROR[skeleton.LEFT_WRIST] == skeleton.RIGHT_WRIST
    assert skeleton.MIRROR[skeleton.LEFT_HAND.start] == skeleton.RIGHT_HAND.start


def test_hand_limbs_run_from_the_wrist_to_each_finger_tip() -> None:
    assert len(skeleton.HAND_LIMBS) == 20
    assert [limb for limb in skeleton.HAND_LIMBS if limb[0] == 0] == [(0, 1), (0, 5), (0, 9), (0, 13), (0, 17)]
