"""Video files to frames, with PyAV: one decoding thread, and no more decoded than a clip needs.

How a frame is found without decoding what lies before it. Frame ``i`` is the ``i``-th picture that a plain decode of
the whole file puts out. Pictures come out in the order of their presentation times, so ``i`` names a time; the reader
seeks to the last key frame before it and decodes from there. How the times are known depends on the container:

- MP4 and MOV carry an index of all packets. It names the key frames; the packets between two of them (one group) are
  read, not decoded, to learn their times. A clip of a video of hours reads the groups it touches and nothing else.
- AVI has such an index too, without presentation times. They are the decoding times where no B-frames are used.
- Matroska, WebM, MPEG-TS, FLV and fragmented MP4 have no complete index: all packets are read through once, not
  decoded (7 microseconds each, and the file's bytes must come from the disk). For videos of hours MP4 is far better.
- Where times do not tell the frames apart (AVI with B-frames or dropped frames, files without time stamps, files that
  begin in the middle of a group) or lead to other frames than promised, the file is decoded from its start.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from types import TracebackType
from typing import Self

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from datamodules.readers.packets import MAX_MISSING_FRAMES, VideoError, list_packets

__all__ = ["MAX_MISSING_FRAMES", "VideoError", "VideoReader"]

#: A frame counts as on screen from this much before its time stamp: Matroska rounds times to milliseconds.
_TIME_TOLERANCE = 1e-3  # seconds


class _UnknownTimesError(Exception):
    """The time stamps of the packets do not tell the frames apart."""


class VideoReader:
    """Frames of one video file, by number.

    Use as a context manager, opened and closed within one ``__getitem__``::

        with VideoReader(path) as video:
            clip = video.read(np.arange(16), short_side=128)

    The stream read is the one that FFmpeg deems best. Frames are the same as those of a plain decode of the whole
    file. A rotation that the container asks for is applied.

    A file is damaged if decoding fails, if a decoded frame is marked corrupt, or if more than
    :data:`MAX_MISSING_FRAMES` of the frames that its header promises are missing; up to that many missing at the end
    are replaced by the last frame. Damage is seen where the header tells it, or where a frame asked for depends on it.

    Attributes:
        num_frames: Frames that can be shown, as well as the container tells without decoding.
        fps: Average number of frames per second from the first frame to the last; 0 where the container does not tell.
        height: Of the stored picture in pixels, before any rotation that the container asks for.
        width: Likewise.

    Args:
        path: The video file.

    Raises:
        VideoError: The file is missing, empty, not a video, has no video stream, or ends before its last frames.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._container = _open(self._path)
        try:
            self._stream = _best_stream(self._container, self._path)
            self._packets = list_packets(self._container, self._stream, self._path)
        except BaseException:
            self._container.close()
            raise
        self._groups: dict[int, tuple[np.ndarray, int]] = {}
        self.num_frames = self._packets.num_frames
        self.fps = _frame_rate(self._stream, self._packets.times)
        self.height, self.width = self._stream.height, self._stream.width

    def __enter__(self) -> Self:
        """Returns the open reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file."""
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._container.close()

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Frames on screen at given times; a variable frame rate is respected.

        Args:
            seconds: Float, any shape, times from the first frame's appearance. Before it the first frame is meant,
                after the end the last.

        Returns:
            int64, same shape, frame numbers.

        Raises:
            VideoError: The file cannot be read.
        """
        seconds = np.asarray(seconds, np.float64)
        if self._stream.time_base is None or not len(self._packets.times):
            numbers = np.floor((seconds + _TIME_TOLERANCE) * self.fps).astype(np.int64)
            return np.clip(numbers, 0, self.num_frames - 1)
        ticks = (seconds + _TIME_TOLERANCE) / float(self._stream.time_base)
        try:
            numbers = self._frame_at_ticks(ticks)
        except _UnknownTimesError:
            times = np.sort(self._packets.times)
            numbers = np.searchsorted(times, times[0] + ticks, side="right") - 1
        except av.error.FFmpegError as error:
            raise VideoError(f"{self._path}: damaged, reading fails ({error.strerror})") from error
        return np.clip(numbers, 0, self.num_frames - 1)

    def frame_times(self) -> tuple[np.ndarray, Fraction] | None:
        """When each frame appears.

        Returns:
            int64 (num_frames,), ticks from the first frame's appearance, increasing; and the seconds of a tick. None
            where the file does not tell.

        Raises:
            VideoError: The file cannot be read.
        """
        if self._stream.time_base is None or not self._packets.by_time:
            return None
        try:
            times = np.concatenate([self._group(group)[0] for group in range(len(self._packets.lead_times))])
        except _UnknownTimesError:
            return None
        except av.error.FFmpegError as error:
            raise VideoError(f"{self._path}: damaged, reading fails ({error.strerror})") from error
        return (times - times[0], self._stream.time_base) if (np.diff(times) > 0).all() else None

    def read(
        self, indices: np.ndarray, short_side: int | None = None, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Decodes frames.

        Args:
            indices: Integers (T,), frame numbers from 0 in any order, repeats allowed.
            short_side: Pixels of the shorter side of the result, scaled by FFmpeg (bilinear, with a wider filter when
                it shrinks); the longer side keeps the aspect, rounded. None keeps the stored size.
            size: Height and width to scale the stored picture to instead, whatever its aspect.

        Returns:
            uint8 (T, H, W, 3), RGB.

        Raises:
            ValueError: There is no index, or one lies outside the video.
            VideoError: The file is damaged where these frames lie.
        """
        indices = np.asarray(indices, np.int64)
        if not len(indices) or indices.min() < 0 or indices.max() >= self.num_frames:
            raise ValueError(
                f"{self._path}: frame numbers must lie in 0..{self.num_frames - 1}, and there must be at least one; "
                f"got {indices.tolist()}"
            )
        clip = _Clip(indices, *(size or _scaled_size(self._stream.height, self._stream.width, short_side)))
        numbers = np.unique(indices)
        if not (self._packets.by_time and self._read_by_time(numbers, clip)):
            self._packets.by_time = False  # what led astray once may do so again
            self._read_in_order(numbers, clip)
        return clip.frames

    def _frame_at_ticks(self, ticks: np.ndarray) -> np.ndarray:
        """Frame numbers at `ticks` after the first frame; -1 before it."""
        packets = self._packets
        if not packets.by_time:
            raise _UnknownTimesError
        if packets.frame_times is not None:
            times = packets.frame_times
            return np.asarray(np.searchsorted(times, times[0] + ticks, side="right") - 1)
        ticks = ticks + self._group(0)[0][0]
        # A key frame is decoded before it is shown: a time after its decoding may still belong to the group before.
        groups = np.searchsorted(packets.lead_times, ticks, side="right") - 1
        groups = np.clip(groups, 0, len(packets.lead_times) - 1)
        numbers = np.empty(ticks.shape, np.int64)
        for group in np.unique(groups):
            here = groups == group
            numbers[here] = np.searchsorted(self._group(int(group))[0], ticks[here], side="right") - 1
            early = here & (numbers < 0)
            numbers[here] += packets.first_frame[group]
            if group > 0 and early.any():
                times = self._group(int(group) - 1)[0]
                numbers[early] = packets.first_frame[group - 1] + np.searchsorted(times, ticks[early], side="right") - 1
        return numbers

    def _group(self, group: int) -> tuple[np.ndarray, int]:
        """Presentation times of a group's frames (int64, ascending) and of its leading packet, in ticks."""
        packets = self._packets
        first, end = packets.first_frame[group], packets.first_frame[group + 1]
        if packets.frame_times is not None and packets.key_times is not None:
            return packets.frame_times[first:end], int(packets.key_times[group])
        if group not in self._groups:
            count = int(packets.first_packet[group + 1] - packets.first_packet[group])
            rows = [(packet.pts, packet.dts, packet.is_discard) for packet in islice(self._packets_from(group), count)]
            shown = [time for time, _, is_discard in rows if not is_discard and time is not None]
            key_time, lead_time, _ = rows[0] if rows else (None, None, False)
            if key_time is None or lead_time != packets.lead_times[group] or len(set(shown)) != end - first:
                raise _UnknownTimesError
            self._groups[group] = np.sort(np.array(shown, np.int64)), key_time
        return self._groups[group]

    def _packets_from(self, group: int) -> Iterator["Packet[VideoStream]"]:
        """Seeks to a group and reads on from there, to the end of the file."""
        packets = self._packets
        lead_time = seek_time = int(packets.lead_times[group])
        if packets.frame_times is None:
            # FFmpeg goes back a key frame in MP4 if the one it finds is shown after the time asked for.
            members = packets.times[packets.first_packet[group] : packets.first_packet[group + 1]]
            seek_time = self._groups[group][1] if group in self._groups else int(members[-1])
        self._container.seek(seek_time, stream=self._stream)
        for packet in self._container.demux(self._stream):
            is_before = packets.frame_times is None and packet.dts is not None and packet.dts < lead_time
            if packet.size and not is_before:  # the last one is empty
                yield packet

    def _read_by_time(self, numbers: np.ndarray, clip: "_Clip") -> bool:
        """Decodes frames from the key frames before them; False if any of them does not come out sound."""
        try:
            for start, targets in self._passes(numbers):
                for frame in self._decode_from(start, set(targets)):
                    number = targets.pop(frame.pts, None) if frame.pts is not None else None
                    if number is not None:
                        if frame.is_corrupt:
                            return False
                        clip.put(number, frame)
                if targets:
                    return False
        except (_UnknownTimesError, av.error.FFmpegError):
            return False  # the decode from the start tells whether it is the file or only the seeking
        # Only decoding shows whether an AVI has B-frames; if so, its times were not those of presentation.
        return not (self._container.format.name == "avi" and self._stream.codec_context.has_b_frames)

    def _passes(self, numbers: np.ndarray) -> list[tuple[int, dict[int, int]]]:
        """Groups to seek to, each with the frames to decode from there as {presentation time: frame number}."""
        passes: list[tuple[int, dict[int, int]]] = []
        reached = -1
        for number in numbers.tolist():
            group = int(np.searchsorted(self._packets.first_frame, number, side="right")) - 1
            times, key_time = self._group(group)
            time = int(times[number - self._packets.first_frame[group]])
            # Frames shown before their group's key frame refer to the group before as well (open GOP).
            start = group if time >= key_time else max(group - 1, 0)
            if start > reached:
                passes.append((start, {}))
            passes[-1][1][time] = number
            reached = group
        return passes

    def _decode_from(self, start: int, targets: set[int]) -> Iterator[VideoFrame]:
        """Decodes from a group on until the frames with the presentation times `targets` are out."""
        codec = self._stream.codec_context
        # In H.264 no picture refers to one marked as non-reference, so decoding can leave out those not asked for.
        may_skip = codec.name == "h264"
        waiting = set(targets)
        for packet in self._packets_from(start):
            if packet.dts is not None and packet.dts > max(targets):
                break  # seeking went too far: later packets are shown later still
            if may_skip:
                codec.skip_frame = "DEFAULT" if packet.pts in targets else "NONREF"
            yield from codec.decode(packet)
            if packet.pts is not None:
                waiting.discard(packet.pts)
            if not waiting:
                break
        yield from codec.decode(None)

    def _read_in_order(self, numbers: np.ndarray, clip: "_Clip") -> None:
        """Decodes from the start of the file, counting frames."""
        self._container.close()
        self._container = _open(self._path)
        self._stream = _best_stream(self._container, self._path)
        wanted = set(numbers.tolist())
        count, frame = 0, None
        try:
            for frame in self._container.decode(self._stream):
                if frame.is_corrupt:
                    raise VideoError(f"{self._path}: damaged, frame {count} of {self.num_frames} is corrupt")
                if count in wanted:
                    clip.put(count, frame)
                count += 1
                if count > numbers[-1]:
                    return
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{self._path}: damaged, decoding fails after {count} of {self.num_frames} frames ({error.strerror})"
            ) from error
        if frame is None or self.num_frames - count > MAX_MISSING_FRAMES:
            raise VideoError(f"{self._path}: damaged, only {count} of {self.num_frames} frames can be decoded")
        for number in numbers[numbers >= count].tolist():
            clip.put(number, frame)


class _Clip:
    """The array that decoded frames are scaled into.

    Args:
        indices: int64 (T,), frame number of each place in the clip.
        height: Height of the scaled frame before rotation, in pixels.
        width: Width, likewise.
    """

    def __init__(self, indices: np.ndarray, height: int, width: int) -> None:
        self._indices, self._height, self._width = indices, height, width
        self._reformatter = VideoReformatter()  # one for all frames: setting up the scaler takes as long as a frame
        self.frames = np.empty((len(indices), height, width, 3), np.uint8)

    def put(self, number: int, frame: VideoFrame) -> None:
        """Scales a frame, turns it as its side data ask, and writes it wherever the clip shows it."""
        scaled = self._reformatter.reformat(frame, self._width, self._height, "rgb24", threads=1)
        plane = scaled.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8, self._height * plane.line_size).reshape(self._height, -1)
        image = rows[:, : self._width * 3].reshape(self._height, self._width, 3)
        image = np.rot90(image, round(frame.rotation / 90))
        if image.shape != self.frames.shape[1:]:  # turned upright: only the first frame tells
            self.frames = np.empty((len(self._indices), *image.shape), np.uint8)
        self.frames[self._indices == number] = image


def _open(path: str) -> InputContainer:
    try:
        if os.path.getsize(path) == 0:
            raise VideoError(f"{path}: the file is empty (0 bytes)")
        # An absolute path: FFmpeg takes "name:rest" for a protocol.
        return av.open(os.path.abspath(path), metadata_errors="ignore")
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file") from None
    except av.error.InvalidDataError as error:
        raise VideoError(f"{path}: not a video, or its header is damaged") from error
    except (OSError, av.error.FFmpegError) as error:
        raise VideoError(f"{path}: cannot be opened ({error.strerror})") from error


def _best_stream(container: InputContainer, path: str) -> VideoStream:
    if container.format.name == "tty":  # FFmpeg shows text files as if on a terminal
        raise VideoError(f"{path}: not a video but text")
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise VideoError(f"{path}: has no video stream")
    if stream.codec_context is None:
        raise VideoError(f"{path}: no decoder for its video stream")
    stream.codec_context.thread_count = 1  # data loaders already use a process per core
    return stream


def _scaled_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    if short_side is None:
        return height, width
    scale = short_side / min(height, width)
    return round(height * scale), round(width * scale)


def _frame_rate(stream: VideoStream, times: np.ndarray) -> float:
    """Frames per second from first to last; Matroska's header tells another rate where it varies."""
    if stream.time_base is not None and len(times) > 1 and times.max() > times.min():
        return (len(times) - 1) / float(int(times.max() - times.min()) * stream.time_base)
    return float(stream.average_rate or stream.guessed_rate or 0)
