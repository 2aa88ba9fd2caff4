"""The metric table of the report: which figures, what they are read against, which target."""

from collections.abc import Callable, Mapping

from xdancer.report.page import Group, Row

Figures = Mapping[str, float | int | None]
LONG_MINUTES = 120
"""From here on the renderer has higher targets."""


def groups(figures: Figures) -> list[Group]:
    """Rows about the three stages."""
    return [
        Group("stage 1 · tokenizer, held-out clips, visible keypoints, % of body height", _tokenizer(figures)),
        Group("stage 2 · motion GPT, dances sampled from one pose to held-out songs", _motion(figures)),
        Group("stage 3 · renderer, self-driven on held-out people and phrases", _video(figures)),
    ]


class _Reader:
    """Figures by key; a missing one is None."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    def __call__(self, key: str) -> float | None:
        value = self.figures.get(key)
        return None if value is None else float(value)

    def count(self, key: str) -> int | None:
        value = self.figures.get(key)
        return None if value is None else int(value)

    def reached(self, rule: Callable[..., bool], *keys: str) -> bool | None:
        """Whether a target over some figures is reached; None when one is unknown."""
        values = [self(key) for key in keys]
        return None if any(value is None for value in values) else rule(*values)


def _tokenizer(figures: Figures) -> list[Row]:
    get = _Reader(figures)
    n = get.count("n/vqvae")
    return [
        Row(
            "body error",
            get("vqvae/body_percent"),
            count=n,
            target="≤ 2",
            reached=get.reached(lambda x: x <= 2, "vqvae/body_percent"),
            note="18 body keypoints",
        ),
        Row(
            "hand error",
            get("vqvae/hands_percent"),
            count=n,
            target="≤ 2.5",
            reached=get.reached(lambda x: x <= 2.5, "vqvae/hands_percent"),
            note="42 hand keypoints",
        ),
        Row(
            "hand error, wrists aligned",
            get("vqvae/hands_aligned_percent"),
            references={"mean hand": get("vqvae/mean_hand_percent")},
            count=n,
            target="≤ half of the mean hand's",
            reached=get.reached(lambda x, mean: x <= mean / 2, "vqvae/hands_aligned_percent", "vqvae/mean_hand_percent"),
            note="what the fingers do, apart from where the hand is; the mean hand ignores it",
        ),
        Row(
            "least perplexity of a part",
            get("vqvae/min_perplexity"),
            0,
            count=get.count("n/vqvae_frames"),
            target="≥ 150",
            reached=get.reached(lambda x: x >= 150, "vqvae/min_perplexity"),
            note="of 512 codes, over held-out frames",
        ),
    ]


def _motion(figures: Figures) -> list[Row]:
    return [*_beats(figures), *_movement(figures)]


def _beats(figures: Figures) -> list[Row]:
    get, n = _Reader(figures), _Reader(figures).count("n/gpt")
    silent = get.count("n/gpt_without_motion_beats") or 0
    if n is not None:
        n -= silent
    beat = {
        "null": get("gpt/beat_f1_null"),
        "chance": get("gpt/beat_f1_chance"),
        "ground truth": get("gpt/beat_f1_ground_truth"),
        "95 % from": get("gpt/beat_f1_low"),
        "to": get("gpt/beat_f1_high"),
    }
    return [
        Row(
            "beat F1 (protocol seconds)",
            get("gpt/beat_f1"),
            3,
            beat,
            n,
            "≥ .55, null + .25",
            get.reached(lambda f1, null: f1 >= 0.55 and f1 - null >= 0.25, "gpt/beat_f1", "gpt/beat_f1_null"),
            "speed minima against the songs' exact beats, Gaussian kernel of 50 ms; null: the same dances against songs of another tempo; "
            f"{silent} clips without a motion beat are left out",
        ),
        Row(
            "z of the beat F1",
            get("gpt/beat_f1_z"),
            1,
            None,
            n,
            note="distance from the null in its standard deviations; a frozen dancer can pass, see below",
        ),
        Row(
            "beat F1, hard", get("gpt/beat_f1_hard"), 3, {"ground truth": get("gpt/beat_f1_hard_ground_truth")}, n, note="partner within ±50 ms"
        ),
        Row(
            "beat F1, song swapped: the fed song",
            get("gpt/beat_f1_swapped_fed"),
            3,
            {"the pose's own song": get("gpt/beat_f1_swapped_own")},
            get.count("n/gpt_swapped"),
            "fed above own",
            get.reached(lambda fed, own: fed > own, "gpt/beat_f1_swapped_fed", "gpt/beat_f1_swapped_own"),
            "the same first pose with another clip's song",
        ),
    ]


def _movement(figures: Figures) -> list[Row]:
    get, n = _Reader(figures), _Reader(figures).count("n/gpt")
    return [
        Row(
            "mean speed by the ground truth's",
            get("gpt/speed_ratio"),
            2,
            None,
            n,
            ".7 – 1.3",
            get.reached(lambda x: 0.7 <= x <= 1.3, "gpt/speed_ratio"),
        ),
        Row(
            "motion beats per second",
            get("gpt/motion_beats_per_second"),
            2,
            {"music": get("gpt/music_beats_per_second")},
            n,
            "within 20 %",
            get.reached(lambda x: abs(x - 1) <= 0.2, "gpt/beats_per_second_ratio"),
        ),
        Row(
            "frozen clips",
            get("gpt/frozen_share"),
            3,
            None,
            n,
            "≤ .05",
            get.reached(lambda x: x <= 0.05, "gpt/frozen_share"),
            "slower than 10 % of their true clip",
        ),
        Row(
            "broken frames",
            get("gpt/broken_share"),
            3,
            {"ground truth": get("gpt/broken_share_ground_truth")},
            n,
            note="frames that show no body any more (torso or visible keypoints out of bounds): beat and speed do not notice",
        ),
        Row(
            "BAS, protocol bailando60",
            get("gpt/bas_bailando60"),
            3,
            {"null": get("gpt/bas_bailando60_null"), "ground truth": get("gpt/bas_bailando60_ground_truth")},
            n,
            note="published values (.16 – .26) lie in the range of motion without music",
        ),
        Row(
            "diversity, kinetic",
            get("gpt/div_kinetic"),
            2,
            {"ground truth": get("gpt/div_kinetic_ground_truth")},
            get.count("n/gpt_windows"),
            note="features on the ground truth's scale; our own definition, no published one",
        ),
    ]


def _video(figures: Figures) -> list[Row]:
    get, n = _Reader(figures), _Reader(figures).count("n/video")

    def nulls(key: str, *names: str) -> dict[str, float | None]:
        titles = {"copy": "copy the portrait", "mean": "training mean", "grey": "grey person"}
        return {titles[name]: get(f"video/{key}_{name}") for name in names}

    gain = 3.0 if _long(figures) else 1.5
    return [
        Row(
            "person PSNR, dB",
            get("video/person_psnr"),
            2,
            nulls("person_psnr", "copy", "mean", "grey"),
            n,
            f"≥ copy + {gain:g}",
            get.reached(lambda x, copy: x >= copy + gain, "video/person_psnr", "video/person_psnr_copy"),
            "union of the person in portrait and target, grown by 2 pixels",
        ),
        Row(
            "background PSNR, dB",
            get("video/background_psnr"),
            2,
            nulls("background_psnr", "copy", "mean"),
            n,
            "≥ 30",
            get.reached(lambda x: x >= 30, "video/background_psnr"),
        ),
        Row("LPIPS", get("video/lpips"), 3, nulls("lpips", "copy", "mean", "grey"), n, note="AlexNet, 0 is equal"),
        *_recognition(figures),
    ]


def _long(figures: Figures) -> bool:
    return (_Reader(figures)("demo/minutes") or 0) >= LONG_MINUTES


def _recognition(figures: Figures) -> list[Row]:
    """Whether the person is found again, in the right pose and in the right clothes."""
    get = _Reader(figures)
    seen, share = get.count("n/video_detection_frames"), 0.8 if _long(figures) else 0.4
    return [
        Row(
            "PCK@.1 of re-detected keypoints",
            get("video/pck"),
            3,
            {
                "copy the portrait": get("video/pck_copy"),
                "copy, same frames": get("video/pck_copy_same_frames"),
                "undetected = missed": get("video/pck_all_frames"),
                "true frames": get("video/pck_true"),
            },
            seen,
            "≥ copy + .1",
            get.reached(lambda x, copy: x >= copy + 0.1, "video/pck", "video/pck_copy"),
            "over frames with a detection; copying the portrait is detected always",
        ),
        Row(
            "frames with a detection",
            get("video/detected_share"),
            3,
            {"copy the portrait": get("video/detected_share_copy"), "true frames": get("video/detected_share_true")},
            seen,
            f"≥ {share:.2f}",
            get.reached(lambda x: x >= share, "video/detected_share"),
            "MediaPipe on the frames enlarged 4×; a still portrait is nearly always found: read it with PCK",
        ),
        Row(
            "clothes nearest to the own portrait",
            get("video/clothes_top1"),
            3,
            {"chance": get("video/clothes_chance"), "true frames": get("video/clothes_top1_true")},
            get.count("n/clothes"),
            "≥ 5 × chance",
            get.reached(lambda x, chance: x >= 5 * chance, "video/clothes_top1", "video/clothes_chance"),
            f"of {get.count('n/clothes_pool')} portraits",
        ),
        Row(
            "face like the portrait's (ID-SIM)",
            get("video/id_sim"),
            3,
            {"another's portrait": get("video/id_sim_other"), "true frames": get("video/id_sim_true")},
            get.count("n/video"),
            note=f"cosine of the bundled network; {get.count('n/video_frames_without_face')} frames show no face",
        ),
    ]
