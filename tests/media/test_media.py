"""Media in and out: every container, offsets, rotation, damage, sync."""

import io
import resource
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from xdancer import media
from xdancer.errors import MediaError

RATE = 44100


def pictures(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Grey pictures whose brightness is their number."""
    return [np.full((height, width, 3), 20 + 4 * (index % 50), np.uint8) for index in range(count)]


def numbers(frames: np.ndarray) -> list[int]:
    return [round((float(frame.mean()) - 20) / 4) for frame in frames]


def clicks(seconds: float, times: list[float], rate: int = RATE) -> np.ndarray:
    wave = np.zeros(round(seconds * rate), np.float32)
    for time in times:
        start = round(time * rate)
        burst = 0.8 * np.sin(2 * np.pi * 2000 * np.arange(rate // 200) / rate)
        wave[start : start + len(burst)] = burst[: len(wave) - start]
    return wave


def onsets(wave: np.ndarray, rate: int) -> list[float]:
    """Times at which a click begins: the first sample above a third of the maximum after 50 ms of quiet."""
    loud = np.flatnonzero(np.abs(wave) > np.abs(wave).max() / 3)
    return [float(loud[index]) / rate for index in range(len(loud)) if index == 0 or loud[index] - loud[index - 1] > 0.05 * rate]


def mux(
    path: Path, *, audio: np.ndarray | None, rate: int = RATE, codec: str, offset: float = 0.0, frames: int = 0, video_codec: str = ""
) -> None:
    """A file by plain PyAV, with the sound starting `offset` seconds after the picture."""
    with av.open(str(path), "w") as container:
        video = None
        if frames:
            video = container.add_stream(video_codec, rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        layout = "mono" if audio.ndim == 1 else "stereo"
        stream = container.add_stream(codec, rate=rate, layout=layout, options={"strict": "-2"})
        for index, picture in enumerate(pictures(frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode(None))
        data = audio.reshape(len(audio), -1).T
        name = "s16" if codec in ("pcm_s16le", "flac") else "fltp"
        packed = (data.T.reshape(1, -1) * 32767).astype(np.int16) if name == "s16" else np.ascontiguousarray(data)
        frame = av.AudioFrame.from_ndarray(packed, format=name, layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, round(offset * rate), Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_click_survives_write_and_read(tmp_path: Path) -> None:
    path = tmp_path / "click.mp4"
    times = [0.25, 1.0, 1.5]
    media.write_video(path, pictures(60), audio=clicks(2.0, times), sample_rate=RATE, metadata={"xdancer_seed": 7})
    np.testing.assert_allclose(onsets(media.read_audio(path, sample_rate=RATE), RATE), times, atol=0.002)
    assert [file.name for file in tmp_path.iterdir()] == ["click.mp4"]
    with av.open(str(path)) as container:
        assert container.metadata["xdancer_seed"] == "7"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize(("rate", "channels", "seconds"), [(8000, 1, 1.0), (15360, 2, 5.0), (44100, 2, 0.4), (48000, 1, 2.0), (96000, 2, 2.0)])
def test_sound_is_as_long_as_the_picture(tmp_path: Path, rate: int, channels: int, seconds: float) -> None:
    wave = clicks(seconds, [0.1, 0.3], rate)
    path = tmp_path / "out.mp4"
    media.write_video(path, pictures(61), audio=np.stack([wave] * channels, 1).squeeze(), sample_rate=rate)
    with av.open(str(path)) as container:
        for stream in container.streams:
            assert float(stream.duration * stream.time_base) == pytest.approx(61 / 30, abs=1 / 30)
    assert len(media.read_audio(path, sample_rate=RATE)) / RATE == pytest.approx(61 / 30, abs=1 / 30)
    np.testing.assert_allclose(onsets(media.read_audio(path, sample_rate=RATE), RATE), [0.1, 0.3], atol=0.002)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels"),
    [("a.wav", "pcm_s16le", 22050, 2), ("a.mp3", "libmp3lame", 44100, 2), ("a.ogg", "vorbis", 44100, 2), ("a.flac", "flac", 48000, 1),
     ("a.m4a", "aac", 44100, 1), ("a.webm", "libopus", 48000, 1), ("a.mp4", "aac", 32000, 2)],
)  # fmt: skip
@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_every_kind_of_sound_file(tmp_path: Path, name: str, codec: str, rate: int, channels: int, sample_rate: int) -> None:
    wave = clicks(3.0, [0.5, 1.0, 2.25], rate)
    mux(tmp_path / name, audio=np.stack([wave] * channels, 1).squeeze(), rate=rate, codec=codec)
    read = media.read_audio(tmp_path / name, sample_rate=sample_rate)
    assert read.dtype == np.float32
    assert len(read) / sample_rate == pytest.approx(3.0, abs=0.06)
    np.testing.assert_allclose(onsets(read, sample_rate), [0.5, 1.0, 2.25], atol=0.003)
    assert 0.5 < np.abs(read).max() < 1.1


@pytest.mark.parametrize(
    ("name", "codec", "video_codec"),
    [("v.mp4", "aac", "libx264"), ("v.mkv", "aac", "libx264"), ("v.webm", "libopus", "libvpx"), ("v.mov", "aac", "mpeg4"),
     ("v.ts", "aac", "libx264")],
)  # fmt: skip
@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_sound_offset_of_a_container_is_respected(tmp_path: Path, name: str, codec: str, video_codec: str, offset: float) -> None:
    path = tmp_path / name
    mux(path, audio=clicks(2.0, [0.5, 1.5], 48000), rate=48000, codec=codec, offset=offset, frames=50, video_codec=video_codec)
    times = np.array([0.5, 1.5]) + offset
    np.testing.assert_allclose(onsets(media.read_audio(path, sample_rate=48000), 48000), times, atol=0.003)
    info = media.probe(path)
    assert (info.width, info.height, info.frames, info.has_audio) == (64, 48, 50, True)
    assert info.fps == pytest.approx(25, rel=1e-3)
    video = media.read_video(path)
    np.testing.assert_allclose(video.times, np.arange(50) / 25, atol=0.002)


@pytest.mark.parametrize("bframes", [0, 2])
def test_a_stream_cut_between_key_frames_starts_with_its_first_whole_picture(tmp_path: Path, bframes: int) -> None:
    """Key frames 0, 20, 40; the cut after picture 7 leaves 13 packets that give no picture. A click and a flash at 1.2 s."""
    cut = tmp_path / "cut.ts"
    with av.open(str(cut), "w") as container:
        options = {"g": "20", "keyint_min": "20", "sc_threshold": "0", "bf": str(bframes), "flags": "+cgop"}
        video = container.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout="mono")
        packets = []
        for index, picture in enumerate(pictures(50)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += video.encode(frame)
        frame = av.AudioFrame.from_ndarray(clicks(2.0, [1.2], 48000)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        packets += [*video.encode(None), *sound.encode(frame), *sound.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            if packet.pts * packet.time_base >= Fraction(8, 25):
                container.mux(packet)
    whole = media.read_video(cut)
    assert numbers(whole.frames) == list(range(20, 50))
    np.testing.assert_allclose(whole.times, np.arange(30) / 25, atol=1e-4)
    np.testing.assert_allclose(media.frame_times(cut), whole.times, atol=1e-4)
    assert media.probe(cut).frames == 30
    for start in (1, 10, 25):
        window = media.read_video(cut, start=start, count=3)
        assert numbers(window.frames) == list(range(20 + start, 23 + start))
        np.testing.assert_allclose(window.times, whole.times[start : start + 3], atol=1e-4)
    np.testing.assert_allclose(onsets(media.read_audio(cut, sample_rate=48000), 48000), [1.2 - 20 / 25], atol=0.003)


def test_pictures_from_the_middle() -> None:
    data = media.encode_video(pictures(50), keyframe_interval=16)
    assert media.probe(data).frames == 50
    assert media.probe(data).fps == pytest.approx(30)
    assert numbers(media.read_video(data).frames) == list(range(50))
    for start in (0, 1, 15, 16, 17, 44):
        window = media.read_video(data, start=start, count=6)
        assert numbers(window.frames) == list(range(start, start + 6))
        np.testing.assert_allclose(window.times, np.arange(start, start + 6) / 30, atol=1e-4)
    with pytest.raises(MediaError, match="only 50 pictures"):
        media.read_video(data, start=48, count=6)
    assert data == media.encode_video(pictures(50), keyframe_interval=16)


def test_colours_survive() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:32], frame[32:, :32], frame[32:, 32:] = (200, 30, 40), (20, 180, 60), (30, 60, 220)
    read = media.read_video(media.encode_video([frame] * 3, crf=10)).frames[1]
    for y, x in ((16, 32), (48, 16), (48, 48)):
        np.testing.assert_allclose(read[y, x].astype(int), frame[y, x].astype(int), atol=6)


def test_variable_frame_rate_goes_by_time_stamps(tmp_path: Path) -> None:
    path = tmp_path / "vfr.mkv"
    stamps = [0, 40, 80, 200, 240, 300]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)  # the header lies
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp, picture in zip(stamps, pictures(6), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(media.read_video(path).times, np.array(stamps) / 1000, atol=1e-3)
    assert media.probe(path).fps == pytest.approx(5 / 0.3, rel=0.02)


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation_of_phone_videos(matrix: tuple[int, int, int, int], turns: int) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32] = 255
    data = bytearray(media.encode_video([frame] * 2))
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version, times and id, layer and volume, then the matrix
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    read = media.read_video(bytes(data)).frames[0]
    expected = np.rot90(frame, turns)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 8
    assert (media.probe(bytes(data)).height, media.probe(bytes(data)).width) == expected.shape[:2]


def test_sound_in_memory() -> None:
    wave = np.stack([clicks(2.0, [0.5, 1.25])] * 2, axis=1)
    read = media.read_audio(media.encode_audio(wave, RATE), sample_rate=RATE)
    np.testing.assert_allclose(onsets(read, RATE), [0.5, 1.25], atol=0.002)
    assert len(read) == pytest.approx(2 * RATE, abs=1024)
    assert media.encode_audio(wave, RATE) == media.encode_audio(wave, RATE)


def test_song_with_cover_art_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    mux(path, audio=clicks(1.0, [0.5]), codec="aac")
    covered = tmp_path / "covered.mp3"
    cover = io.BytesIO()
    Image.new("RGB", (16, 16)).save(cover, "JPEG")
    with av.open(str(covered), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        art = container.add_stream("mjpeg", rate=1)
        art.width, art.height, art.pix_fmt = 16, 16, "yuvj420p"
        art.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base = art, 0, 0, Fraction(1, 90000)
        container.start_encoding()
        container.mux(packet)
        frame = av.AudioFrame.from_ndarray(clicks(1.0, [0.5])[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(onsets(media.read_audio(covered, sample_rate=RATE), RATE), [0.5], atol=0.003)
    with pytest.raises(MediaError, match="holds no video"):
        media.probe(covered)


def test_bad_files_name_themselves(tmp_path: Path) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(np.random.default_rng(0).bytes(5000))
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    whole = media.encode_video(pictures(30))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    silent = tmp_path / "silent.mp4"
    silent.write_bytes(whole)
    for path in (junk, empty, cut, tmp_path / "missing.mp4", tmp_path):
        for read in (media.probe, media.read_video, lambda source: media.read_audio(source, sample_rate=RATE), media.read_image):
            with pytest.raises(MediaError, match=path.name):
                read(path)
    with pytest.raises(MediaError, match="holds no sound"):
        media.read_audio(silent, sample_rate=RATE)
    with pytest.raises(MediaError, match="media in memory"):
        media.probe(b"nothing")


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 128, 128, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(MediaError, match=r"out\.mp4"):
            media.write_video(tmp_path / "out.mp4", noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_failures_while_writing_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    media.write_video(path, pictures(3))
    before = path.read_bytes()

    def interrupted():
        yield from pictures(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        media.write_video(path, interrupted())
    for frames, words in (([], "without pictures"), (pictures(1, 47), "even sides"), ([*pictures(1), *pictures(1, 46)], "all must be alike")):
        with pytest.raises(MediaError, match=words):
            media.write_video(path, frames)
    with pytest.raises(MediaError, match="does not exist"):
        media.write_video(tmp_path / "nowhere" / "out.mp4", pictures(2))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_pictures_of_every_mode(tmp_path: Path) -> None:
    colour = np.zeros((8, 12, 3), np.uint8)
    colour[:, :6] = (250, 10, 10)
    image = Image.fromarray(colour)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90° clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(media.read_image(tmp_path / "turned.png"), np.rot90(colour, -1))
    image.quantize(4).save(tmp_path / "palette.gif")
    np.testing.assert_allclose(media.read_image(tmp_path / "palette.gif").astype(int), colour, atol=8)
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (media.read_image(tmp_path / "clear.png") == 255).all()
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert (media.read_image(tmp_path / "deep.png") == 128).all()
    image.convert("CMYK").save(tmp_path / "print.jpg")
    assert media.read_image(tmp_path / "print.jpg").shape == (8, 12, 3)
