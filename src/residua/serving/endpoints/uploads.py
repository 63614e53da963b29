"""Images of people: one as the body, or several in a form."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from residua.serving.refusal import Refusal
from residua.serving.settings import Settings

_PIECE = 1 << 16


@dataclass(frozen=True)
class Upload:
    """An image as it came.

    Attributes:
        name: the file's name as the client stated it, "" for none.
        content: encoded.
    """

    name: str
    content: bytes


async def uploads(content: bytes, headers: Headers, settings: Settings) -> list[Upload]:
    """Return the images of a body.

    Args:
        content: multipart/form-data with files in any field, or an encoded image.
        headers: of HTTP; the content type decides, and any other than a form is taken for an image.
        settings: with the most images.

    Raises:
        Refusal: no image, too many, a form that cannot be read.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        if not content:
            raise Refusal(400, "no image; send one as the body, or several in a form")
        return [Upload("", content)]
    most = settings.most_images
    parser = _InMemory(headers, _pieces(content), max_files=most, max_fields=16)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        text = str(getattr(error, "message", "no boundary"))
        raise Refusal(400, f"the form cannot be read: {text[:120]}; at most {most} images are taken") from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    images = [Upload((each.filename or "")[:200], await each.read()) for each in files]
    await form.close()
    if not images:
        raise Refusal(400, "a form without files; send images as files of any field")
    return images


class _InMemory(MultiPartParser):
    # The body is in memory and counted there: no file of its parts is ever written.
    spool_max_size = 1 << 31


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]
    yield b""
