"""Captions as CLIP's tokens: byte-pair codes of lower-cased words, as open_clip makes them.

The vocabulary is read from a file beside the weights; the rules are here, so that tokenizer.json and vocab.json with
merges.txt give the same tokens. open_clip first repairs wrongly decoded text ("cafÃ©"); here only quotation marks,
ligatures and wide letters are replaced by plain ones, which is enough for correct captions.
"""

from __future__ import annotations

import html
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from curation.backends.weights import ModelUnavailable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
PAD = 0  # open_clip fills with zeros, `transformers` with END: the states after END differ, and are used
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

_PLAIN = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u02bc"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f"), '"'),
    # Latin ligatures, and letters as wide as Chinese ones
    **{code: unicodedata.normalize("NFKC", chr(code)) for code in (*range(0xFB00, 0xFB07), *range(0xFF01, 0xFF5F))},
}


def clean(text: str) -> str:
    """Plain, composed (NFC), lower-cased text with single spaces, HTML entities resolved twice."""
    plain = unicodedata.normalize("NFC", text.translate(_PLAIN))
    return " ".join(html.unescape(html.unescape(plain)).split()).lower()


def vocabulary_files(folder: Path) -> tuple[Path, ...]:
    """The vocabulary in `folder`: tokenizer.json, else vocab.json and merges.txt; empty without one."""
    for names in (("tokenizer.json",), ("vocab.json", "merges.txt")):
        paths = tuple(folder / name for name in names)
        if all(path.is_file() for path in paths):
            return paths
    return ()


class CaptionTokens:
    """Turns captions into tokens (length,), with the vocabulary in `folder`.

    Raises ModelUnavailable, in one line, if it is missing, cannot be read, or does not have `vocabulary` entries.
    """

    def __init__(self, folder: Path, vocabulary: int, length: int, source: str) -> None:
        self.length = length
        files = vocabulary_files(folder)
        if not files:
            raise ModelUnavailable(
                f"clip_text: no tokenizer.json, nor vocab.json with merges.txt, in {folder}: get one from {source}"
            )
        try:
            self._tokenizer = _tokenizer(files)
        except Exception as error:  # the library raises bare Exceptions
            raise ModelUnavailable(f"clip_text: {files[0]} is not a byte-pair vocabulary that can be read") from error
        start, end = self._tokenizer.token_to_id(START), self._tokenizer.token_to_id(END)
        size = self._tokenizer.get_vocab_size()
        if start is None or end is None or size != vocabulary:
            raise ModelUnavailable(
                f"clip_text: {files[0]} has {size} tokens, should have {vocabulary} with {START} and {END}"
            )
        self.start, self.end = start, end

    def __call__(self, text: str) -> Tensor:
        """int64 (length,): START, the caption's tokens (truncated if there are too many), END, zeros."""
        words = self._tokenizer.encode(clean(text), add_special_tokens=False).ids[: self.length - 2]
        tokens = [self.start, *words, self.end]
        return torch.tensor(tokens + [PAD] * (self.length - len(tokens)))


def _tokenizer(files: tuple[Path, ...]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, pre_tokenizers
    from tokenizers.models import BPE

    if len(files) == 1:
        model = Tokenizer.from_file(str(files[0])).model
        if not isinstance(model, BPE):
            raise TypeError("another kind of vocabulary")
    else:
        model = BPE.from_file(str(files[0]), str(files[1]), end_of_word_suffix="</w>", unk_token=END)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer
