"""The sounds of English as numbers: where the resonances of the mouth lie, and what makes the sound.

Vowels after the averages for men of Peterson & Barney (1952); the rest as in Klatt (1980), "Software for a
cascade/parallel formant synthesizer", adjusted by ear and by a recogniser. Names are ARPAbet's.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Phone:
    """One sound.

    formants: the three lowest resonances at its beginning, in hertz; end: at its end, where they move.
    seconds: how long it lasts at a usual rate. voice, breath: levels of the glottis and of the breath through
    the mouth, 0 to 1. hiss: level of the noise at a narrow place, whose bumps are (hertz, width, height).
    nasal: the nose is open. stop: closed, then released. weak: how much of it neighbours take over.
    """

    formants: tuple[float, float, float]
    seconds: float = 0.08
    voice: float = 1.0
    breath: float = 0.0
    hiss: float = 0.0
    bumps: tuple[tuple[float, float, float], ...] = ()
    end: tuple[float, float, float] | None = None
    nasal: bool = False
    stop: bool = False
    widths: tuple[float, float, float] = (60, 90, 130)
    is_vowel: bool = False


def _vowel(f1: float, f2: float, f3: float, seconds: float, end=None) -> Phone:
    return Phone((f1, f2, f3), seconds, end=end, is_vowel=True)


S_BUMPS = ((5200, 900, 1.0), (6800, 1400, 0.9))
SH_BUMPS = ((2700, 600, 1.0), (4000, 1500, 0.6))
F_BUMPS = ((1500, 1500, 0.15), (7200, 2500, 0.5))
TH_BUMPS = ((1800, 1200, 0.1), (6200, 2200, 0.5))
T_BUMPS = ((4200, 1500, 1.0), (6500, 2000, 0.6))
P_BUMPS = ((700, 700, 1.0), (1600, 1600, 0.3))
K_BUMPS = ((1900, 500, 1.0), (4000, 2000, 0.2))

_T = Phone((350, 1750, 2650), 0.085, voice=0.0, hiss=0.9, bumps=T_BUMPS, stop=True)
_P = Phone((350, 950, 2200), 0.085, voice=0.0, hiss=0.5, bumps=P_BUMPS, stop=True)
_K = Phone((350, 1900, 2350), 0.095, voice=0.0, hiss=0.8, bumps=K_BUMPS, stop=True)
_S = Phone((350, 1600, 2600), 0.115, voice=0.0, hiss=0.55, bumps=S_BUMPS)
_SH = Phone((350, 1800, 2500), 0.115, voice=0.0, hiss=0.55, bumps=SH_BUMPS)
_F = Phone((350, 1100, 2200), 0.10, voice=0.0, hiss=0.22, bumps=F_BUMPS)
_TH = Phone((350, 1350, 2550), 0.10, voice=0.0, hiss=0.2, bumps=TH_BUMPS)

PHONES = {
    "IY": _vowel(270, 2290, 3010, 0.13),
    "IH": _vowel(390, 1990, 2550, 0.09),
    "EH": _vowel(530, 1840, 2480, 0.11),
    "AE": _vowel(680, 1750, 2450, 0.14),
    "AH": _vowel(620, 1220, 2420, 0.085),
    "AA": _vowel(740, 1110, 2460, 0.14),
    "AO": _vowel(570, 850, 2410, 0.14),
    "UW": _vowel(310, 900, 2240, 0.13),
    "ER": _vowel(490, 1330, 1650, 0.13),
    "AX": _vowel(560, 1350, 2450, 0.065),
    "EY": _vowel(480, 1980, 2560, 0.15, (320, 2280, 2950)),
    "AY": _vowel(740, 1180, 2480, 0.18, (360, 2150, 2700)),
    "AW": _vowel(740, 1250, 2500, 0.18, (400, 880, 2300)),
    "OW": _vowel(530, 1000, 2420, 0.16, (360, 800, 2300)),
    "W": Phone((300, 640, 2200), 0.075, voice=0.85),
    "Y": Phone((270, 2250, 3000), 0.065, voice=0.7),
    "R": Phone((330, 1080, 1450), 0.075, voice=0.75),
    "L": Phone((350, 1050, 2800), 0.07, voice=0.7),
    "M": Phone((270, 1000, 2200), 0.08, voice=0.65, nasal=True, widths=(70, 200, 250)),
    "N": Phone((270, 1650, 2600), 0.08, voice=0.65, nasal=True, widths=(70, 200, 250)),
    "NG": Phone((270, 2050, 2500), 0.09, voice=0.65, nasal=True, widths=(70, 200, 250)),
    "P": _P,
    "T": _T,
    "K": _K,
    "B": replace(_P, seconds=0.07, voice=0.35),
    "D": replace(_T, seconds=0.065, voice=0.35, hiss=0.5),
    "G": replace(_K, seconds=0.07, voice=0.35, hiss=0.5),
    "S": _S,
    "SH": _SH,
    "F": _F,
    "TH": _TH,
    "Z": replace(_S, seconds=0.085, voice=0.35, hiss=0.3),
    "V": replace(_F, seconds=0.06, voice=0.5, hiss=0.1),
    "DH": replace(_TH, seconds=0.05, voice=0.5, hiss=0.08),
    "CH": replace(_SH, seconds=0.13, hiss=0.8, stop=True),
    "JH": replace(_SH, seconds=0.10, hiss=0.5, voice=0.3, stop=True),
    "HH": Phone((500, 1500, 2500), 0.065, voice=0.0, breath=0.8),
}
SILENCE = Phone((500, 1500, 2500), 0.09, voice=0.0)

LEXICON = {
    word: tuple(spelled.split())
    for word, spelled in {
        "a": "AH", "an": "AE N", "the": "DH AX", "is": "IH Z", "in": "IH N", "there": "DH EH R",
        "are": "AA R", "and": "AE N D", "what": "W AH T", "which": "W IH CH", "where": "W EH R",
        "how": "HH AW", "many": "M EH N IY", "much": "M AH CH", "do": "D UW", "you": "Y UW",
        "see": "S IY", "i": "AY", "not": "N AA T", "know": "N OW", "yes": "Y EH S", "no": "N OW",
        "nothing": "N AH TH IH NG", "colour": "K AH L ER", "shape": "SH EY P", "number": "N AH M B ER",
        "on": "AA N", "sign": "S AY N", "read": "R IY D", "plus": "P L AH S", "thing": "TH IH NG",
        "things": "TH IH NG Z", "top": "T AA P", "middle": "M IH D AX L", "bottom": "B AA T AX M",
        "left": "L EH F T", "right": "R AY T", "zero": "Z IH R OW", "one": "W AH N", "two": "T UW",
        "three": "TH R IY", "four": "F AO R", "five": "F AY V", "six": "S IH K S",
        "seven": "S EH V AX N", "eight": "EY T", "nine": "N AY N", "red": "R EH D",
        "orange": "AO R AX N JH", "yellow": "Y EH L OW", "green": "G R IY N", "blue": "B L UW",
        "purple": "P ER P AX L", "pink": "P IH NG K", "white": "W AY T", "circle": "S ER K AX L",
        "square": "S K W EH R", "triangle": "T R AY AE NG G AX L", "cross": "K R AO S",
        "star": "S T AA R", "ring": "R IH NG", "moon": "M UW N", "heart": "HH AA R T",
    }.items()
}  # fmt: skip
