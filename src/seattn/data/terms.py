"""Terms of the standard that may leave a header: any other text there could be a name."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "IMAGE_LATERALITIES",
    "MODALITIES",
    "PHOTOMETRIC_INTERPRETATIONS",
    "RESCALE_TYPES",
    "VIEW_POSITIONS",
    "term",
]

# PS3.3 section C.7.3.1.1.1, with the retired ones that old files still have.
_MODALITIES = """
ANN AR ASMT AU BDUS BI BMD CD CFM CR CT CTPROTOCOL DD DF DG DM DMS DOC DS DX EC ECG EEG
EMG EOG EPS ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM
OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE
RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SC SEG SM SMR SR SRF ST STAIN
TEXTUREMAP TG US VA VF VL XA XAPROTOCOL XC
"""
MODALITIES = frozenset(_MODALITIES.split())
# PS3.3 section C.7.6.3.1.2, with the retired ones.
PHOTOMETRIC_INTERPRETATIONS = frozenset(
    {
        *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "XYB"),
        *("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"),
    }
)
# PS3.3 section C.11.1.1.2, without US, "unspecified".
RESCALE_TYPES = frozenset({"HU", "HU_MOD", "OD", "PCT", "MGML", "Z_EFF", "ED", "EDW"})
# (0018,5101) View Position, PS3.3 section C.8.1.1.
VIEW_POSITIONS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO"})
# (0020,0060) Laterality and (0020,0062) Image Laterality: right, left, unpaired, both.
IMAGE_LATERALITIES = frozenset({"R", "L", "U", "B"})


def term(dataset: "Dataset", keyword: str, terms: frozenset[str]) -> str | None:
    """The value of an element if it is one of ``terms``, else None."""
    value = str(dataset.get(keyword) or "").strip().upper()
    return value if value in terms else None
