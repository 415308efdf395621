"""Documents on S3: read from the fabric's own bucket, written to it under the hash of their bytes."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from aws.adapters.verdicts import code_of, verdicts
from shared.errors import Permanent
from shared.events.document import DocumentRef

MAX_BYTES = 20 * 1024 * 1024
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
_WRITTEN_BEFORE = frozenset({"PreconditionFailed", "412"})


class S3Documents:
    """The `Documents` port: references may point anywhere in `bucket`, and nowhere else."""

    def __init__(self, s3: Any, bucket: str) -> None:  # noqa: ANN401  boto3 makes its types
        self._s3 = s3
        self._bucket = bucket

    def read(self, ref: DocumentRef) -> bytes:
        """Return the bytes; Permanent when missing, changed since referenced, too large, or out of bounds."""
        _check_size(ref.size)
        content = self._fetched(self._key(ref))
        if len(content) != ref.size or hashlib.sha256(content).hexdigest() != ref.sha256:
            raise Permanent("the document changed since it was submitted; submit it again", code="document-changed")
        return content

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Store bytes under their own hash; when they are there already, that is as good."""
        sha256 = hashlib.sha256(content).hexdigest()
        key = f"blobs/{sha256}"
        try:
            with verdicts("write a document"):
                self._put(key, content, media_type)
        except Permanent as refusal:
            if not _written_before(refusal):
                raise
        uri = f"s3://{self._bucket}/{key}"
        return DocumentRef(uri=uri, sha256=sha256, size=len(content), media_type=media_type, name=name)

    def _put(self, key: str, content: bytes, media_type: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType=media_type, IfNoneMatch="*")

    def _key(self, ref: DocumentRef) -> str:
        parts = urlsplit(ref.uri)
        if parts.scheme != "s3":
            raise Permanent(f"cannot read {parts.scheme}: references here; use s3:", code="unknown-scheme", where="uri")
        key = ref.uri.split("/", 3)[3:]
        if parts.netloc != self._bucket or not key or not key[0]:
            raise Permanent("outside the bucket given to this fabric", code="out-of-bounds", where="uri")
        return key[0]

    def _fetched(self, key: str) -> bytes:
        with verdicts("read a document"):
            try:
                found = self._s3.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if code_of(error) in _MISSING:
                    raise Permanent("no such document", code="document-missing", where="uri") from error
                raise
            _check_size(found["ContentLength"])
            content: bytes = found["Body"].read()
            return content


def _written_before(refusal: Permanent) -> bool:
    cause = refusal.__cause__
    return isinstance(cause, ClientError) and code_of(cause) in _WRITTEN_BEFORE


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise Permanent(f"{size} bytes are more than the {MAX_BYTES} a document may have", code="oversize")
