"""Where the frames of a video lie in its file: its packets, listed without decoding; see ``readers/video.py``."""

from dataclasses import dataclass
from itertools import islice

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

#: A header may promise this many frames more than can be decoded (HMDB51's AVI files: one). More is damage.
MAX_MISSING_FRAMES = 3

#: MPEG-4 packets below this many bytes may be placeholders for a frame that was dropped or packed elsewhere.
_PLACEHOLDER_BYTES = 16


class VideoError(ValueError):
    """A video that cannot be read, as ``path: what is wrong``."""


@dataclass
class Packets:
    """All packets of a video stream, in decoding order: P packets in G groups, each led by a key frame.

    Attributes:
        times: int64 (P,), a time stamp each, in ticks: of decoding, or of presentation where only that is known;
            empty where there are none.
        first_packet: int64 (G + 1,), packet that leads each group; then P.
        first_frame: int64 (G + 1,), number of the first frame shown of each group; then the number of frames.
        lead_times: int64 (G,), time stamp of each leading packet, of the kind that seeking goes by, in ticks.
        frame_times: int64 (number of frames,), presentation times in ticks, increasing; None where unknown so far.
        key_times: int64 (G,), presentation time of each leading packet; None where `frame_times` is.
        by_time: Whether a frame can be told by its presentation time.
    """

    times: np.ndarray
    first_packet: np.ndarray
    first_frame: np.ndarray
    lead_times: np.ndarray
    frame_times: np.ndarray | None
    key_times: np.ndarray | None
    by_time: bool

    @property
    def num_frames(self) -> int:
        """Number of frames that are shown."""
        return int(self.first_frame[-1])


def list_packets(container: InputContainer, stream: VideoStream, path: str) -> Packets:
    """Lists the packets from the container's index where it is complete, else by reading through the file.

    Raises:
        VideoError: Packets are missing at the end of the file, or there is none.
    """
    try:
        packets = _from_index(container, stream, path) or _from_demux(container, stream, path)
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: damaged, reading fails ({error.strerror})") from error
    if packets.num_frames == 0:
        raise VideoError(f"{path}: its video stream has no frames")
    return packets


def _from_index(container: InputContainer, stream: VideoStream, path: str) -> Packets | None:
    is_avi = container.format.name == "avi"
    if not (is_avi or "mp4" in container.format.name.split(",")):
        return None
    # Taken at once: the entries point into memory that FFmpeg moves as it reads on.
    rows = [(e.timestamp, e.is_keyframe, not e.is_discard, e.size, e.pos) for e in stream.index_entries]
    table = np.array(rows, np.int64).reshape(-1, 5)
    # Fragmented MP4 and AVI files cut short have an index of their first part only.
    if not len(table) or table[-1, 0] - table[0, 0] < 0.9 * (stream.duration or np.inf):
        return None
    present = table[:, 3] + table[:, 4] <= container.size
    if (missing := np.count_nonzero(~present)) > MAX_MISSING_FRAMES:
        raise VideoError(
            f"{path}: damaged, the file ends early: {len(table) - missing} of {len(table)} frames are in it"
        )
    times, is_key, is_shown, sizes, _ = table[present].T
    if is_avi:
        return _group_packets(times, times, is_key, is_shown, times, _avi_has_frame_per_packet(stream, sizes))
    by_time = not _has_placeholders(stream, sizes) and not _starts_with_leading_frames(container, stream)
    return _group_packets(times, None, is_key, is_shown, times, by_time)


def _from_demux(container: InputContainer, stream: VideoStream, path: str) -> Packets:
    codec = stream.codec_context.name
    rows = [
        (packet.pts, packet.dts, packet.is_keyframe, _is_shown(packet, codec), packet.size)
        for packet in container.demux(stream)
        if packet.size
    ]
    if not rows:
        raise VideoError(f"{path}: its video stream has no frames")
    presentation, decoding = [row[0] for row in rows], [row[1] for row in rows]
    is_key, is_shown, sizes = np.array([row[2:] for row in rows], np.int64).T
    is_avi = container.format.name == "avi"
    by_time = not _has_placeholders(stream, sizes) and (not is_avi or _avi_has_frame_per_packet(stream, sizes))
    if is_avi or None in presentation:
        times = np.array([] if None in decoding else decoding, np.int64)
        by_time = by_time and is_avi and len(times) > 0
    else:
        times = np.array(presentation, np.int64)
    _check_end(container, stream, path, times)
    # Matroska seeks by presentation times, the others by decoding times.
    by_presentation = "matroska" in container.format.name or None in decoding
    lead_times = times if by_presentation and len(times) else np.array([time or 0 for time in decoding], np.int64)
    return _group_packets(times, times if by_time else None, is_key, is_shown, lead_times, by_time)


def _group_packets(
    times: np.ndarray,
    presentation: np.ndarray | None,
    is_key: np.ndarray,
    is_shown: np.ndarray,
    lead_times: np.ndarray,
    by_time: bool,
) -> Packets:
    """Groups packets by key frame; `by_time` is dropped if the times contradict the groups."""
    keys = np.flatnonzero(is_key)
    if not len(keys) or keys[0] != 0:
        keys, by_time = np.array([0]), False
    first_frame = np.append(0, np.cumsum(is_shown))[np.append(keys, len(is_key))]
    filled = np.diff(first_frame) > 0  # an edit list may hide whole groups
    keys, first_frame = keys[filled], np.append(first_frame[:-1][filled], first_frame[-1])
    frame_times, key_times = None, None
    if presentation is not None:
        shown_times = presentation[is_shown == 1]
        order = np.argsort(shown_times, kind="stable")
        frame_times, key_times = shown_times[order], presentation[keys]
        group_of_packet = np.searchsorted(keys, np.flatnonzero(is_shown), side="right")
        apart = np.all(np.diff(frame_times) > 0) and np.all(np.diff(group_of_packet[order]) >= 0)
        # Frames before the first key frame refer to what is not in the file.
        by_time = bool(by_time and apart and len(keys) and key_times[0] <= frame_times[0])
    return Packets(times, np.append(keys, len(is_key)), first_frame, lead_times[keys], frame_times, key_times, by_time)


def _starts_with_leading_frames(container: InputContainer, stream: VideoStream) -> bool:
    """Whether frames come before the first key frame: they refer to what is not in the file and may be left out."""
    times = [packet.pts for packet in islice(container.demux(stream), 2)]
    return times[0] is None or (len(times) > 1 and times[1] is not None and times[1] < times[0])


def _has_placeholders(stream: VideoStream, sizes: np.ndarray) -> bool:
    return stream.codec_context.name == "mpeg4" and bool(sizes.min() < _PLACEHOLDER_BYTES)


def _avi_has_frame_per_packet(stream: VideoStream, sizes: np.ndarray) -> bool:
    """Whether each packet of an AVI gives one frame, at once: only then its times are those of presentation."""
    codec = stream.codec_context
    return codec.name in ("mpeg4", "mjpeg") and not codec.has_b_frames and not _has_placeholders(stream, sizes)


def _is_shown(packet: "Packet[VideoStream]", codec: str) -> bool:
    # VP8 stores frames that are never shown as packets of their own; bit 4 of the first byte tells (RFC 6386, 9.1).
    hidden = codec == "vp8" and not memoryview(packet)[0] & 0x10
    return not (hidden or packet.is_discard)


def _check_end(container: InputContainer, stream: VideoStream, path: str, times: np.ndarray) -> None:
    """Compares the last time stamp with what the header promises.

    Raises:
        VideoError: More than :data:`MAX_MISSING_FRAMES` are missing at the end of an AVI; or, where the header tells a
            duration only, more than half a second and more than so many of the longest frames.
    """
    if not len(times) or stream.time_base is None:
        return
    if container.format.name == "avi":  # its duration is a guess from the size of the file; its ticks are frames
        held = int(times.max()) + 1
        if stream.frames - held > MAX_MISSING_FRAMES:
            raise VideoError(f"{path}: damaged, the file ends early: {held} of {stream.frames} frames are in it")
        return
    seconds = np.sort(times) * float(stream.time_base)
    promised, held_seconds = _promised_seconds(container, stream), float(seconds[-1] - seconds[0])
    longest = float(np.diff(seconds, append=seconds[-1]).max())
    if promised - held_seconds > max(0.5, (MAX_MISSING_FRAMES + 1) * longest):
        raise VideoError(
            f"{path}: damaged, the file ends early: {held_seconds:.1f} of {promised:.1f} seconds are in it"
        )


def _promised_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Duration of the stream as its header tells; 0 where it does not."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if (tag := stream.metadata.get("DURATION")) is not None:  # Matroska, "00:00:10.333000000"
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if len(container.streams) == 1 and container.duration is not None:
        return container.duration / av.time_base
    return 0.0
