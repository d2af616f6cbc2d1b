"""What the words in folder, file and column names say: a split, an expression, a subject, or nothing."""

import re
import unicodedata
from collections.abc import Container
from functools import cache

from ganfer.data.names import EXPRESSIONS, canonical

EVAL = "eval"  # val or test, as the rest of the source decides
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "heldout", "holdout"), "test"),
    **dict.fromkeys(("eval", "evaluation"), EVAL),
}
# The same in other languages, without accents; a word that means something else beside it is left out.
_FOREIGN = {
    "train": "trainings entrenamiento treino treinamento entrainement apprentissage addestramento trenowanie egitim "
    "обучение обучающая тренировка 训练 训练集 訓練 訓練集 学習 学習用 훈련 학습",
    "val": "validierung validierungs validacion validacao validazione validatie walidacja dogrulama валидация "
    "валидационная 验证 验证集 驗證 驗證集 検証 検証用 검증",
    "test": "tests prueba pruebas teste testes testowanie тест тестовая тестирование 测试 测试集 測試 測試集 テスト "
    "評価用 테스트 시험",
}
_SPLITS |= {word: split for split, listed in _FOREIGN.items() for word in listed.split()}
_FILLERS = """
    data dataset datasets set sets image images img imgs picture pictures pic pics photo photos face faces folder
    folders split splits part subset samples sample files dir class classes emotion emotions expression expressions
    the of a my raw full all final new crop cropped aligned resized daten datensatz menge bilder datos conjunto imagenes
    dados imagens donnees dati immagini dane выборка
"""
_FILLER = frozenset(_FILLERS.split())
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_HELD_OUT = re.compile(r"(hold|held)[\s_-]?out", re.IGNORECASE)
_JOINED = re.compile(
    r"(train|trainings?|val|valid|validation|validierungs?|dev|test|testing|eval)"
    r"(data|dataset|set|images?|imgs?|faces?|pics?|photos?|split|folder|daten|datensatz|menge|bilder)"
)
_PUBLIC = {
    "public": "val",
    "private": "test",
}  # FER2013's challenge: PublicTest is for choosing, PrivateTest the result
_SUBJECT = re.compile(
    r"([ab]?[fm]|s|p|id|sub|subj|subject|person|people|participant|actor|actress|speaker|model|user|identity|face|"
    r"patient|volunteer|proband|female|male|student)[\s_.\-#]*\d+",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_CLIP_NUMBERS = 3
_CLIP_DIGITS = 3
_SHARD_DIGITS = 5
_CODES = 20
SPLIT_COLUMNS = frozenset(("split", "usage", "subset", "set", "partition", "fold", "phase"))


@cache
def words(name: str) -> tuple[str, ...]:
    """The lower-case words of a name: `TestData`, `test-data` and `test_data` alike give test, data."""
    joined = _HELD_OUT.sub(" holdout ", _plain(name))
    return tuple(part.lower() for word in _WORD.findall(joined) for part in (_parts(word)))


def _plain(name: str) -> str:
    """Letters without their accents, so that `entraînement` is one word however it is written."""
    apart = unicodedata.normalize("NFKD", name)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


def _parts(word: str) -> tuple[str, ...]:
    joined = _JOINED.fullmatch(word.lower())
    if joined:
        return joined.groups()
    lower = word.lower()
    return (lower[: -len("test")], "test") if lower in ("publictest", "privatetest") else (word,)


@cache
def split_and_rest(name: str) -> tuple[str, tuple[str, ...]]:
    """(split, the words beside it and beside fillers and numbers); ("", ...) where no word, or two, name a split."""
    found = words(name)
    splits = {_SPLITS[word] for word in found if word in _SPLITS}
    rest = tuple(w for w in found if w not in _SPLITS and w not in _FILLER and not w.isdigit())
    if splits == {"test"} and rest and rest[0] in _PUBLIC:
        return _PUBLIC[rest[0]], rest[1:]
    return (splits.pop(), rest) if len(splits) == 1 else ("", rest)


def split_word(name: str) -> str:
    """The split that a name stands for: train, val, test, `EVAL`, or "" where it says something else or more."""
    split, rest = split_and_rest(name)
    return "" if rest else split


def meant_by_eval(stated: Container[str]) -> str:
    """The split that `EVAL` is in a source that names these splits."""
    return "val" if "test" in stated and "val" not in stated else "test"


@cache
def expression_in(name: str) -> str:
    """The one expression a folder's name means, fillers and numbers aside (`01_happy`, `Sad faces`); "" for others."""
    whole = canonical(name)
    if whole in EXPRESSIONS:
        return whole
    rest = [word for word in words(name) if word not in _FILLER and not word.isdigit()]
    return canonical(rest[0]) if len(rest) == 1 and canonical(rest[0]) in EXPRESSIONS else ""


def kind_of(names: set[str]) -> str:
    """What a level's folder names look like: "subject" (S001, person_2), "number" (001, 02), "shard" (00000),
    "container" (images, faces), "clip" (01-01-03-02, 1001_IEO_ANG_HI) or "word".

    The numbers from 0 to 19 are words: data sets with coded classes have folders 0 to 7.
    """
    if all(_SUBJECT.fullmatch(name) for name in names):
        return "subject"
    if all(words(name) and _FILLER.issuperset(words(name)) for name in names):
        return "container"
    if not all(name.isdecimal() for name in names):
        return "clip" if _are_clips(names) else "word"
    if all(str(int(name)) == name and int(name) < _CODES for name in names):
        return "word"
    return "shard" if max(len(name) for name in names) >= _SHARD_DIGITS else "number"


def _are_clips(names: set[str]) -> bool:
    """Whether names number recordings: several numbers in each, or the same words again and again by number."""
    numbers = [_NUMBER.findall(name) for name in names]
    if not all(numbers):
        return False
    if all(
        len(found) >= _CLIP_NUMBERS or (len(found) > 1 and min(map(len, found)) >= _CLIP_DIGITS) for found in numbers
    ):
        return True
    return 1 < len({_NUMBER.sub("#", name) for name in names}) <= len(names) / 2


def is_split_column(name: str) -> bool:
    """Whether a column's name says that it may hold the split."""
    return any(word in SPLIT_COLUMNS or word in _SPLITS for word in words(name))
