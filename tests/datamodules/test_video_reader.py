"""Every frame the reader gives is the one that a plain decode of the whole file gives."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from datamodules.readers.video import VideoError, VideoReader
from tests.fakes import moving_texture, write_video

SHARED_VIDEOS = (
    "ucf101/videos/SoccerJuggling/v_SoccerJuggling_g23_c01.avi",
    "hmdb51/videos/wave/RATRACE_wave_f_nm_np1_fr_goo_37.avi",
    "hmdb51/videos/wave/SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0.avi",
    "hmdb51/videos/cartwheel/Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
    "kinetics400/videos/R6llTwEh07w.mp4",
    "kinetics400/videos/SOX5yA1l24A.mp4",
    "ntu_rgbd/videos/S001C001P001R001A001_rgb.avi",
    "videos_generic/demo.mp4",
    "videos_generic/demo_spatiotemporal_det.mp4",
    "videos_generic/test.mp4",
    "videos_generic/test.avi",
    "videos_generic/skateboarding.mp4",
    "videos_generic/ta_chi.mp4",
    "videos_generic/flipping_a_pancake.mkv",
    "videos_generic/paddlevideo_example.avi",
    "videos_odd/unordered.mov",
    "videos_odd/video_0.mov",
    "videos_odd/video_90.mov",
    "videos_odd/video_180.mov",
    "videos_odd/video_270.mov",
    "videos_odd/nasa_13013.mp4",
    "videos_odd/av1_video.mkv",
    "videos_odd/h265_video.mp4",
    "videos_odd/h264_10bits.mp4",
    "videos_odd/h265_10bits.mp4",
    "videos_odd/bt709_full_range.mp4",
)
QUARTER_TURNS = {"video_90.mov": 3, "video_180.mov": 2, "video_270.mov": 1}  # counter-clockwise


def decode_whole(path, size=None, quarter_turns=0):
    """All frames in the order in which they come out, scaled to (H, W), and their times in seconds."""
    frames, times = [], []
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            height, width = size or (stream.height, stream.width)
            frames.append(np.rot90(frame.to_ndarray(format="rgb24", height=height, width=width), quarter_turns))
            times.append(None if frame.pts is None else float(frame.pts * frame.time_base))
    return np.stack(frames), times


def assert_same_as_whole(path, whole, num_reads=8, short_side=None, num_frames=None):
    """Reads clips, lone frames, repeats and both ends; four times from fresh readers, then from one kept open."""
    generator = np.random.default_rng(0)
    with VideoReader(path) as kept:
        count = kept.num_frames
        assert count == (len(whole) if num_frames is None else num_frames)
        for turn in range(num_reads):
            clip = np.minimum(generator.integers(count) + generator.integers(1, 5) * np.arange(8), count - 1)
            lone = generator.integers(0, count, 3)
            indices = [clip, lone, np.append(lone, [count - 1, 0, lone[0]]), np.arange(min(count, 5))][turn % 4]
            expected = whole[np.minimum(indices, len(whole) - 1)]
            with VideoReader(path) as fresh:
                assert np.array_equal((kept if turn // 4 % 2 else fresh).read(indices, short_side), expected)


@pytest.mark.parametrize("name", SHARED_VIDEOS)
def test_real_videos_equal_a_plain_decode(name, shared_data):
    path = shared_data / name
    with VideoReader(path) as video:
        height, width = video.read(np.array([0]), short_side=64).shape[1:3]
        count = video.num_frames
    turns = QUARTER_TURNS.get(path.name, 0)
    whole, _ = decode_whole(path, (width, height) if turns % 2 else (height, width), turns)
    assert min(height, width) == 64
    assert count - len(whole) == (1 if "hmdb51" in name else 0)  # HMDB51's headers count one too many
    assert_same_as_whole(path, whole, num_reads=2, short_side=64, num_frames=count)


def test_turned_videos_stand_upright(shared_data):
    """The four files show one scene; stored, each is turned another way."""
    upright, *turned = (shared_data / f"videos_odd/video_{angle}.mov" for angle in (0, 90, 180, 270))
    with VideoReader(upright) as video:
        scene = video.read(np.array([0]), short_side=32)
    for path in turned:
        with VideoReader(path) as video:
            frame = video.read(np.array([0]), short_side=32)
        portrait = path.name != "video_180.mov"
        assert (frame.shape[1] > frame.shape[2]) is portrait
        if not portrait:
            assert np.abs(frame.astype(int) - scene).mean() < np.abs(frame[:, ::-1, ::-1].astype(int) - scene).mean()


FORMATS = {
    "b_frames.mp4": {"max_b_frames": 3},
    "open_groups.mp4": {"options": {"x264-params": "open-gop=1:bframes=3:b-pyramid=2:scenecut=0", "qp": "0"}},
    "every_frame_a_key.mp4": {"key_frame_interval": 1, "max_b_frames": 0},
    "one_key.mp4": {"key_frame_interval": 1000},
    "b_frames.mkv": {"max_b_frames": 3},
    "b_frames.ts": {"max_b_frames": 3},
    "b_frames.flv": {"max_b_frames": 3},
    "no_times.h264": {"max_b_frames": 2},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "max_b_frames": 2},
    "mpeg4.avi": {"codec": "mpeg4", "max_b_frames": 0},
    "mpeg4_b_frames.mp4": {"codec": "mpeg4", "max_b_frames": 2},
    "h264_b_frames.avi": {"max_b_frames": 3},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg2.mpg": {"codec": "mpeg2video", "max_b_frames": 2},
    "ten_bit.mp4": {"pixel_format": "yuv420p10le"},
    "two_streams.mp4": {"first_stream_size": (16, 32)},
    "moving.gif": {"codec": "gif", "pixel_format": "rgb8"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_equal_a_plain_decode(name, tmp_path):
    path = write_video(tmp_path / name, 45, **FORMATS[name])
    whole, _ = decode_whole(path)
    assert len(whole) == 45
    assert len(np.unique(whole.reshape(45, -1), axis=0)) == 45
    assert_same_as_whole(path, whole)


@pytest.mark.parametrize("name", ["b_frames.mp4", "open_groups.mp4", "b_frames.mkv", "mpeg4.avi", "vp9.webm"])
def test_a_clip_late_in_the_video_is_reached_by_seeking(name, tmp_path):
    path = write_video(tmp_path / name, 200, **FORMATS[name])
    with VideoReader(path) as video:
        decoded = 0
        decode_from = video._decode_from

        def count_frames(start, targets):
            nonlocal decoded
            for frame in decode_from(start, targets):
                decoded += 1
                yield frame

        video._decode_from = count_frames
        video.read(np.array([186, 190]))
        assert 2 <= decoded < 40
        video.read(np.array([2, 190]))  # the gap is not decoded
        assert decoded < 100


def test_a_clip_of_a_long_mp4_reads_little_of_the_file(tmp_path):
    path = write_video(tmp_path / "long.mp4", 900, options={"qp": "18"}, container_options={"movflags": "faststart"})
    with open("/proc/self/io") if os.path.exists("/proc/self/io") else pytest.skip("no /proc/self/io") as counters:

        def bytes_read():
            counters.seek(0)
            return int(counters.readline().split()[1])

        before = bytes_read()
        with VideoReader(path) as video:
            video.read(video.frame_at(18 + np.arange(16) / 16))
        assert bytes_read() - before < path.stat().st_size / 3


def test_variable_frame_rate(tmp_path):
    generator = np.random.default_rng(0)
    times = np.cumsum(generator.integers(10, 200, 45)).tolist()
    for name in ("vfr.mp4", "vfr.mkv"):
        path = write_video(tmp_path / name, 45, times=times, max_b_frames=2)
        whole, shown = decode_whole(path)
        assert_same_as_whole(path, whole)
        starts = np.array(shown) - shown[0]
        seconds = generator.uniform(0, starts[-1], 300)
        with VideoReader(path) as video:
            assert video.frame_at(starts).tolist() == list(range(45))
            assert np.array_equal(video.frame_at(seconds), np.searchsorted(starts, seconds + 1e-3, side="right") - 1)
            assert video.frame_at(np.array([[-5.0, 0.0], [starts[-1] + 0.5, 1e6]])).tolist() == [[0, 0], [44, 44]]
            assert video.fps == pytest.approx(44 / starts[-1], rel=0.1)


@pytest.mark.parametrize("name", FORMATS)
def test_times_at_a_constant_frame_rate(name, tmp_path):
    path = write_video(tmp_path / name, 45, **FORMATS[name])
    with VideoReader(path) as video:
        assert video.fps == pytest.approx(25, rel=0.01)
        assert video.frame_at(np.arange(45) / 25).tolist() == list(range(45))
        assert video.frame_at((np.arange(45) + 0.9) / 25).tolist() == list(range(45))


def test_times_of_an_avi_with_dropped_frames(tmp_path):
    times = [0, 40, 200, 240, 400, 1000]  # its muxer fills the gaps with empty packets
    path = write_video(tmp_path / "gaps.avi", 6, codec="mpeg4", max_b_frames=0, times=times)
    whole, _ = decode_whole(path)
    assert_same_as_whole(path, whole)
    with VideoReader(path) as video:
        assert video.frame_at(np.array([0, 0.1, 0.2, 0.3, 0.9, 1.0])).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(rotation, tmp_path):
    frames = moving_texture(8)
    plain = write_video(tmp_path / "plain.mp4", frames)
    turned = write_video(tmp_path / "turned.mp4", frames, rotation=rotation)
    with VideoReader(plain) as video:
        expected = np.rot90(video.read(np.arange(8)), rotation // 90, axes=(1, 2))
    with VideoReader(turned) as video:
        assert np.array_equal(video.read(np.arange(8)), expected)
        assert min(video.read(np.array([3]), short_side=24).shape[1:3]) == 24


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (48, 48), (34, 90)])
def test_short_side(shape, tmp_path):
    path = write_video(tmp_path / "video.mp4", moving_texture(3, *shape))
    with VideoReader(path) as video:
        assert video.read(np.array([1])).shape == (1, *shape, 3)
        for short_side in (20, 70):
            scaled = video.read(np.array([1, 1]), short_side)
            scale = short_side / min(shape)
            assert scaled.shape == (2, round(shape[0] * scale), round(shape[1] * scale), 3)
            assert scaled.dtype == np.uint8 and scaled.flags.c_contiguous


def test_any_size(tmp_path):
    path = write_video(tmp_path / "video.mp4", moving_texture(3, 48, 64))
    with VideoReader(path) as video:
        assert video.read(np.array([2, 0]), size=(30, 20)).shape == (2, 30, 20, 3)
        assert np.array_equal(video.read(np.array([1]), size=(24, 32)), video.read(np.array([1]), 24))


def test_frames_show_what_was_written(tmp_path):
    """Not only equal to a plain decode: the right pictures, near lossless, red in channel 0."""
    frames = np.zeros((10, 32, 32, 3), np.uint8)
    frames[..., 0] = np.arange(10)[:, None, None] * 20
    frames[..., 2] = 60
    with VideoReader(write_video(tmp_path / "red.mp4", frames)) as video:
        assert np.abs(video.read(np.arange(10)).astype(int) - frames).max() < 8


def test_one_frame(tmp_path):
    with VideoReader(write_video(tmp_path / "one.mp4", 1)) as video:
        assert video.num_frames == 1
        assert video.read(np.zeros(5, np.int64)).shape == (5, 48, 64, 3)
        assert video.frame_at(np.array([0.0, 9.0])).tolist() == [0, 0]


def remux(source, target, change, options=None):
    """Copies packets to another file; `change` alters each as (number, packet), or drops it by returning None."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options or {}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for number, packet in enumerate(reader.demux(stream)):
            if packet.dts is not None and (packet := change(number, packet)) is not None:
                packet.stream = copy
                writer.mux(packet)
    return target


def test_file_that_begins_in_the_middle_of_a_group(tmp_path):
    whole_file = write_video(tmp_path / "whole.mkv", 45, max_b_frames=0)
    path = remux(whole_file, tmp_path / "cut.mkv", lambda number, packet: packet if number > 5 else None)
    whole, _ = decode_whole(path)
    with VideoReader(path) as video:
        assert video.num_frames == 39
    if len(whole) == 39:
        assert_same_as_whole(path, whole)
    else:  # the decoder leaves out what refers to the missing frames
        with VideoReader(path) as video:
            assert np.array_equal(video.read(np.array([3, 20])), whole[[3, 20]])


def test_edit_list_hides_the_first_frames(tmp_path):
    source = write_video(tmp_path / "source.mp4", 45, max_b_frames=0)

    def earlier(number, packet):
        shift = 5 * Fraction(1, 25) / packet.time_base
        packet.pts, packet.dts = packet.pts - int(shift), packet.dts - int(shift)
        return packet

    path = remux(source, tmp_path / "edited.mp4", earlier, {"avoid_negative_ts": "disabled", "use_editlist": "1"})
    whole, _ = decode_whole(path)
    assert len(whole) == 40
    assert_same_as_whole(path, whole)
    with VideoReader(path) as video:
        assert video.frame_at(np.arange(40) / 25).tolist() == list(range(40))


def test_hidden_vp8_frames_are_not_counted(tmp_path):
    source = write_video(tmp_path / "source.webm", 45, codec="libvpx")

    def hide(number, packet):
        if number not in (7, 20):
            return packet
        data = bytearray(bytes(packet))
        data[0] &= ~0x10  # show_frame
        hidden = av.Packet(bytes(data))
        hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
        return hidden

    path = remux(source, tmp_path / "hidden.webm", hide)
    whole, _ = decode_whole(path)
    assert len(whole) == 43
    assert_same_as_whole(path, whole)


def test_path_with_odd_characters(tmp_path, monkeypatch):
    path = write_video(tmp_path / "http:é (1) & ;#[@]=+%d!.mp4", 3)
    monkeypatch.chdir(tmp_path)
    for name in (path, Path(path.name), path.name):
        with VideoReader(name) as video:
            assert video.num_frames == 3


def cut(path, part):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("index_first.mp4", {"container_options": {"movflags": "faststart"}}),
        ("index_last.mp4", {}),
        ("cut.mkv", {}),
        ("cut.flv", {}),
        ("cut.avi", {"codec": "mpeg4"}),
        ("b_frames.avi", {"codec": "mpeg4", "max_b_frames": 2}),
    ],
)
def test_file_cut_short(name, arguments, tmp_path):
    path = cut(write_video(tmp_path / name, 100, **arguments), 0.6)
    with pytest.raises(VideoError) as error:
        VideoReader(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert ("header is damaged" if name == "index_last.mp4" else "the file ends early") in str(error.value)


def test_last_packet_lost_repeats_the_last_frame(tmp_path):
    path = write_video(tmp_path / "video.mp4", 30, max_b_frames=0, container_options={"movflags": "faststart"})
    whole, _ = decode_whole(path)
    path.write_bytes(path.read_bytes()[:-1])  # the index still names the last packet
    with VideoReader(path) as video:
        assert video.num_frames == 29
        assert np.array_equal(video.read(np.array([28, 5])), whole[[28, 5]])


def overwrite_packet(path, number):
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[number]
        position, size = entry.pos, entry.size
    data = bytearray(path.read_bytes())
    data[position : position + size] = b"\xff" * size
    path.write_bytes(data)


def test_damaged_frame(tmp_path):
    path = write_video(tmp_path / "video.mp4", 40, max_b_frames=0, key_frame_interval=10)
    whole, _ = decode_whole(path)
    overwrite_packet(path, 25)
    with VideoReader(path) as video:  # frames that do not depend on the damage are sound
        assert np.array_equal(video.read(np.array([3, 22])), whole[[3, 22]])
    for damaged in (25, 27):
        with VideoReader(path) as video, pytest.raises(VideoError, match="decoding fails after 25 of 40 frames"):
            video.read(np.array([2, damaged]))


def test_real_damaged_video(shared_data):
    path = shared_data / "videos_odd/corrupted.mp4"
    with VideoReader(path) as video, pytest.raises(VideoError, match="decoding fails after 28 of 50 frames") as error:
        video.read(np.arange(20, 40))
    assert str(error.value).startswith(f"{path}: damaged")


def test_not_a_video(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "notes.txt").write_text("not a video\n" * 50)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for start in range(0, 8192, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reasons = {
        "missing.mp4": "no such file",
        "empty.mp4": "the file is empty",
        "text.mp4": "not a video",
        "notes.txt": "not a video",
        "sound.mp4": "has no video stream",
        ".": "cannot be opened",
    }
    for name, reason in reasons.items():
        with pytest.raises(VideoError) as error:
            VideoReader(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: ") and reason in str(error.value)
        assert "\n" not in str(error.value)


def test_indices_outside_the_video(tmp_path):
    path = write_video(tmp_path / "video.mp4", 5)
    for indices in ([-1], [5], []):
        with VideoReader(path) as video, pytest.raises(ValueError, match=r"frame numbers must lie in 0\.\.4"):
            video.read(np.array(indices, np.int64))


def test_nothing_on_standard_error(tmp_path, capfd):
    path = write_video(tmp_path / "video.mp4", 40, max_b_frames=0, key_frame_interval=10)
    overwrite_packet(path, 25)
    capfd.readouterr()
    with VideoReader(path) as video, pytest.raises(VideoError):
        video.read(np.array([27]))
    assert capfd.readouterr() == ("", "")


def test_file_is_closed(tmp_path):
    path = write_video(tmp_path / "video.mp4", 30)
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("no /proc/self/fd")
    broken = cut(write_video(tmp_path / "cut.mkv", 60), 0.6)
    before = len(list(descriptors.iterdir()))
    for _ in range(5):
        with VideoReader(path) as video:
            video.read(np.array([3, 29]))
        with pytest.raises(VideoError):
            VideoReader(broken)
    assert len(list(descriptors.iterdir())) == before


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("no /proc/self/statm")
    frames = moving_texture(60, 256, 320)
    paths = [
        write_video(tmp_path / "video.mp4", frames, max_b_frames=2),
        write_video(tmp_path / "video.mkv", frames, max_b_frames=2),
        write_video(tmp_path / "video.avi", frames, codec="mpeg4", max_b_frames=2),
    ]
    generator = np.random.default_rng(0)

    def read_all(times):
        for _ in range(times):
            for path in paths:
                with VideoReader(path) as video:
                    video.read(generator.integers(0, 60, 8), short_side=128)
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    read_all(450)  # the allocator's own growth has ended by then
    before = read_all(20)
    # 450 reads of 8 frames are 440 MB of decoded pictures: a leak of one in a hundred would show.
    assert read_all(150) - before < 2.5 * 2**20
