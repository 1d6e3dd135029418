"""What makes a style: tempo, feel, chords, who plays, and the rhythms they choose from."""

from dataclasses import dataclass

from data.music.drums import Groove


@dataclass(frozen=True)
class Style:
    """A recipe. Rhythm templates (see `notes`) hold one or two bars; a part without players is left out."""

    tempo: tuple[int, int]  # beats a minute, from and to
    modes: dict[str, float]  # and how likely each is
    lead: tuple[str, ...] = ()  # instruments, one of which plays the melody
    chords: tuple[str, ...] = ()
    bass: tuple[str, ...] = ()
    kits: tuple[str, ...] = ()
    beats: int = 4  # in a bar
    swing: tuple[float, float] = (0.0, 0.0)  # how late the off-beat comes, as a share of its half of the unit
    swing_unit: int = 240  # ticks of the notes that swing: eighths (240) or sixteenths (120)
    chord_size: tuple[int, ...] = (3,)
    quick: float = 0.15  # how often a bar holds two chords
    density: tuple[str, ...] = ("medium",)
    lead_legato: float = 0.92
    chord_manner: tuple[str, ...] = ("block",)
    chord_rhythms: tuple[str, ...] = ()
    chord_legato: float = 0.9
    chord_range: tuple[int, int] = (50, 74)
    bass_rhythms: tuple[str, ...] = ()
    bass_roles: tuple[tuple[str, float], ...] = (("root", 4), ("fifth", 1.5), ("octave", 1))
    bass_legato: float = 0.85
    grooves: tuple[Groove, ...] = ()
    hands: str = "kit"
    fills: float = 0.55
    strum: float = 0.0  # seconds from the lowest to the highest string
    looseness: float = 0.007  # seconds; how far from the beat a note may fall, drums half of it
    reverb: int = 36  # MIDI controller 91


BRIGHT = {"major": 5, "minor": 3, "mixolydian": 1, "dorian": 1}
DARK = {"minor": 4, "dorian": 4, "mixolydian": 2, "major": 1}

POP_GROOVES = (
    {
        "kick": "X-----o-X-o---g-",
        "snare": "----X--g-g--X--g",
        "hat": "x-x-x-x-x-x-x-o-",
        "open_hat": "--------------g-",
    },
    {
        "kick": "X--o----o-X---o-",
        "snare": "----X-------X-gg",
        "hat": "x-x-x-x-x-x-x-x-",
        "shaker": "xgxgxgxgxgxgxgxg",
    },
    {
        "kick": "X-o---g-X--o--o-",
        "snare": "----X--g----X-g-",
        "ride": "x-x-x-x-x-x-x-x-",
        "tambourine": "----x-------x---",
    },
    {"kick": "X-----X-o-o-----", "rim": "----X-------X--g", "hat": "xgxgxgxgxgxgxgxg"},
)
ROCK_GROOVES = (
    {"kick": "X-----o-X-o---g-", "snare": "----X-------X--g", "hat": "X-x-X-x-X-x-X-x-"},
    {"kick": "X-o---o-X-X---o-", "snare": "----X--g----X-g-", "ride": "X-x-X-x-X-x-X-x-"},
    {"kick": "X--o--X-o-X--o--", "snare": "----X-------X-gg", "open_hat": "x---x---x---x---"},
)
FUNK_GROOVES = (
    {
        "kick": "X--o--o-g-X--o-g",
        "snare": "----X--g-g-gX--g",
        "hat": "xgxgxgxgxgxgxg--",
        "open_hat": "--------------x-",
    },
    {"kick": "X-o---g---Xo--o-", "snare": "----X-gg-g--X-gg", "hat": "x-xgx-xgx-xgx-xg"},
    {
        "kick": "X--X--o--oX--g--",
        "snare": "----X--o-g-oX---",
        "hat": "xxgxxgxxxgxxxxgx",
        "cowbell": "x---x---x---x---",
    },
)
HOUSE_GROOVES = (
    {
        "kick": "X---X---X---X---",
        "clap": "----x-------x-g-",
        "open_hat": "--x---x---x---x-",
        "hat": "gogogogogogogogo",
    },
    {
        "kick": "X---X---X---X-g-",
        "clap": "----x-------x---",
        "open_hat": "--x---x---x---x-",
        "shaker": "xoxoxoxoxoxoxoxo",
        "low_conga": "---g--o---g--o--",
        "open_conga": "------g--o----og",
    },
    {
        "kick": "X---X---X---X---",
        "rim": "o--o--o--go--o-g",
        "hat": "--x-g-x---x-g-xg",
        "clap": "----x--g----x---",
    },
    {
        "kick": "X---X---X---X---",
        "snare": "----o-----g-o--g",
        "hat": "xgx-xgx-xgx-xgxo",
        "cowbell": "g--o--g-o--g--o-",
    },
)
BOSSA_GROOVES = (
    {"kick": "x--ox--ox--ox--o", "rim": "x--o--x---o-o--g", "hat": "x-x-x-x-x-x-x-x-"},
    {
        "kick": "x--gx--ox--gx--o",
        "rim": "--x-o---x--o--o-",
        "shaker": "xoxoxoxoxoxoxoxo",
        "pedal_hat": "----x-------x---",
    },
    {
        "kick": "x---o--ox---o--g",
        "claves": "x--x--o---x-o---",
        "cabasa": "xgxoxgxoxgxoxgxo",
        "low_conga": "------g-------oo",
    },
)
SWING_GROOVES = (
    {
        "ride": "x---x-x-x---x-x-",
        "pedal_hat": "----x-------x---",
        "kick": "g---g---g---g---",
        "snare": "--g---g---g-g-o-",
    },
    {
        "ride": "x---x-o-x-o-x-x-",
        "pedal_hat": "----x-------x---",
        "snare": "--g-g-o---g---g-",
        "kick": "g-----g-------o-",
    },
    {"hat": "x---x-x-x---x-x-", "snare": "----o-g---g-o-g-", "kick": "o-----g-o-----g-"},
)
WALTZ_GROOVES = (
    {"kick": "X-------g-g-", "snare": "----o---o-g-", "hat": "x-g-x-g-x-g-"},
    {"kick": "X-----g-----", "rim": "----x---x-g-", "ride": "x---x-o-x---"},
    {"kick": "x-----------", "triangle": "----o---o---", "shaker": "xgogxgogxgog", "snare": "----g---g-gg"},
)
HAND_GROOVES = (
    {
        "mute_conga": "x-g-x-g-x-g-x-g-",
        "open_conga": "------oo------xo",
        "low_conga": "---g-------o--g-",
        "shaker": "xgogxgogxgogxgog",
        "claves": "x--x--x---x-x---",
    },
    {
        "high_bongo": "x-gox-gox-gox-go",
        "low_bongo": "--g---o---g---x-",
        "low_conga": "x-----o-o-------",
        "cabasa": "o-x-o-x-o-x-o-x-",
        "cowbell": "x---o---x---o---",
    },
    {
        "kick": "X--o--o-X--o--o-",
        "high_timbale": "--g-o--o-g-oo-go",
        "low_timbale": "g----o--x----g-o",
        "agogo": "x---o-o---o-o---",
        "low_agogo": "--o-----x-----o-",
        "shaker": "xoxoxoxoxoxoxoxo",
    },
    {
        "kick": "X-o---g-X--o--o-",
        "floor_tom": "x--o--x-o--o--x-",
        "low_tom": "--g--o----g--o--",
        "high_tom": "----o--g----o-go",
        "snare": "gggggggogggggogo",
        "tambourine": "----x-------x---",
    },
    {
        "kick": "X---o---X--o--g-",
        "snare": "g-gggog-X-ggogog",
        "rim": "--o--o--o--o--o-",
        "pedal_hat": "----x-------x---",
    },
)
CALYPSO_GROOVES = (
    {
        "kick": "X-----x-X-----x-",
        "rim": "---x--x----x--x-",
        "hat": "x-xxx-xxx-xxx-xx",
        "cowbell": "x-g-x-o-x-g-x-o-",
    },
    {
        "kick": "X-----x-o-X---x-",
        "snare": "---x--x-g--x--xg",
        "shaker": "xgxxxgxxxgxxxgxx",
        "low_conga": "o-----oo------oo",
    },
)

BLOCKS = (
    "X-------x-------",
    "X-----x---x-----",
    "x---x---x---x---",
    "X--x--x-o--x--o-",
    "X-----------o-o-",
    "x-------o-----x-",
    "X--o--x---o-x---",
    "--x---x---x---x-",
)
STRUMS = ("X---x-x-o-x-x-xo", "X-x-x-xox-x-x-ox", "X---x-xx-ox-x-x-", "X--x--x-X-o-x-o-", "X-o-x-x-o-x-x-o-")
ARPEGGIOS = (
    "x-x-x-x-x-x-x-x-",
    "xxxxxxxxxxxxxxxx",
    "x--xx-x-x--xx-x-",
    "x-x-xxx-x-x-xxx-",
    "x-o-x-x-x-o-x-xo",
    "x-xx-xx-x-xx-xx-",
    "x---x-x-x---x-x-",
)
LONG_BASS = ("X-------------o-", "X---------x---o-", "X-----x---------", "X-------o-----g-")
STEADY_BASS = (
    "X-x-x-x-x-x-x-x-",
    "X-----x-X-o-x-o-",
    "X--x--x-X--x--o-",
    "X---x---X-o-x---",
    "X-----x-----x-o-",
)

STYLES = {
    "pop": Style(
        (84, 128),
        BRIGHT,
        ("flute", "vibraphone", "clean_guitar", "violin", "square_lead", "piano"),
        ("piano", "electric_piano", "steel_guitar"),
        ("finger_bass", "pick_bass"),
        ("standard", "room"),
        chord_rhythms=BLOCKS + STRUMS,
        chord_size=(3, 3, 4),
        bass_rhythms=STEADY_BASS + LONG_BASS[1:],
        density=("medium", "medium", "busy"),
        grooves=POP_GROOVES,
        strum=0.018,
    ),
    "rock": Style(
        (96, 140),
        {"minor": 4, "mixolydian": 4, "major": 3},
        ("overdriven_guitar", "organ", "clean_guitar"),
        ("clean_guitar", "organ", "overdriven_guitar"),
        ("pick_bass",),
        ("power", "room"),
        chord_rhythms=STRUMS + BLOCKS[:3],
        chord_range=(45, 67),
        bass_rhythms=STEADY_BASS,
        grooves=ROCK_GROOVES,
        fills=0.7,
        strum=0.012,
        reverb=24,
    ),
    "funk": Style(
        (92, 116),
        DARK,
        ("alto_sax", "trumpet", "organ", "brass", "electric_piano"),
        ("clavinet", "muted_guitar", "electric_piano"),
        ("slap_bass", "finger_bass"),
        ("standard",),
        swing=(0.0, 0.2),
        swing_unit=120,
        chord_size=(4,),
        density=("medium", "busy"),
        lead_legato=0.75,
        chord_rhythms=(
            "--x-g-oo--x-g-xo",
            "x--x--o-g-ox--o-",
            "---x--x-o--x-go-",
            "x-go--xo-gx---oo",
            "-ox-gox--ox-g-xo",
        ),
        chord_legato=0.55,
        bass_legato=0.65,
        bass_rhythms=("X--o--xo-gx---oo", "X-o---x-goxo--x-", "X--xo---o-xg-xo-", "X-X---ooX--o-gxo"),
        bass_roles=(("root", 4), ("octave", 3), ("fifth", 2), ("third", 0.7)),
        grooves=FUNK_GROOVES,
        reverb=22,
    ),
    "house": Style(
        (116, 132),
        DARK,
        ("square_lead", "vibraphone", "electric_piano", "flute"),
        ("organ", "electric_piano", "warm_pad", "piano"),
        ("synth_bass",),
        ("analog", "electronic"),
        chord_size=(4, 5),
        chord_manner=("block", "block", "pad"),
        chord_rhythms=("--x---x---x---x-", "---x--x---ox--o-", "x--x--x---o--o--", "--x--ox---x--o-o"),
        chord_legato=0.5,
        bass_rhythms=("--x---x---x---x-", "--xo--x---xo--xx", "X--x--x---o--xo-", "--xx-ox---xx-o-x"),
        bass_legato=0.7,
        grooves=HOUSE_GROOVES,
        looseness=0.003,
        fills=0.35,
    ),
    "bossa": Style(
        (112, 140),
        {"major": 4, "minor": 3, "dorian": 3},
        ("flute", "nylon_guitar", "vibraphone", "tenor_sax"),
        ("nylon_guitar", "jazz_guitar"),
        ("acoustic_bass",),
        ("brush", "jazz"),
        chord_size=(4, 5),
        quick=0.35,
        chord_rhythms=(
            "x-----x---o-x---",
            "x--o--x--o--x-o-",
            "--x---x-x--o--x-",
            "x-----x-----x-o---x---x---o-x---",
        ),
        chord_legato=0.6,
        bass_rhythms=("X-----oxX-----ox", "X-----x-X-----o-", "X-------X-----x-"),
        bass_roles=(("root", 2), ("fifth", 4)),
        grooves=BOSSA_GROOVES,
        hands="soft",
        fills=0.35,
        strum=0.01,
    ),
    "swing": Style(
        (100, 140),
        {"major": 4, "dorian": 3, "minor": 3},
        ("tenor_sax", "muted_trumpet", "vibraphone", "clarinet"),
        ("piano", "jazz_guitar"),
        ("acoustic_bass",),
        ("jazz", "brush"),
        swing=(0.5, 0.66),
        chord_size=(4, 5),
        quick=0.5,
        density=("swing",),
        chord_rhythms=(
            "x-----x---o---o-",
            "--x---o-----x---",
            "------x---x---o-",
            "x-----o---o---x---x---x-----o---",
        ),
        chord_legato=0.5,
        bass_rhythms=("X---x---X---x---", "X---x---X---x-o-"),
        bass_roles=(("walk", 6), ("fifth", 1)),
        bass_legato=0.92,
        grooves=SWING_GROOVES,
        hands="soft",
    ),
    "waltz": Style(
        (84, 140),
        BRIGHT,
        ("violin", "accordion", "clarinet", "oboe", "piano"),
        ("accordion", "piano", "nylon_guitar", "strings"),
        ("acoustic_bass", "cello"),
        ("brush",),
        beats=3,
        quick=0.0,
        chord_size=(3, 4),
        chord_rhythms=("----x-o-x-o-", "----x-o-o-x-", "--o-x---xoo-", "----x-x-x-og"),
        chord_legato=0.6,
        bass_rhythms=("X-----o-o-o-", "X---o---o-o-", "X-o-----x-o-", "X-------x-og"),
        bass_roles=(("fifth", 4), ("root", 2), ("third", 1), ("octave", 1)),
        grooves=WALTZ_GROOVES,
        hands="soft",
        fills=0.3,
        strum=0.015,
    ),
    "ambient": Style(
        (80, 100),
        {"major": 3, "dorian": 3, "minor": 3, "mixolydian": 2},
        ("celesta", "vibraphone", "piano", "pan_flute", "glockenspiel"),
        ("warm_pad", "slow_strings"),
        ("fretless_bass",),
        chord_size=(4, 5),
        quick=0.0,
        density=("sparse",),
        chord_manner=("pad",),
        chord_rhythms=("--------x-------", "--------------x-"),
        chord_legato=0.97,
        bass_rhythms=LONG_BASS,
        bass_legato=0.9,
        looseness=0.014,
        reverb=70,
    ),
    "chamber": Style(
        (80, 116),
        BRIGHT,
        ("violin", "oboe", "flute"),
        ("strings", "harp", "pizzicato"),
        ("cello",),
        quick=0.4,
        chord_manner=("pad", "block", "arpeggio"),
        chord_rhythms=BLOCKS[:3] + ARPEGGIOS[:1] + ARPEGGIOS[-1:],
        bass_rhythms=LONG_BASS + STEADY_BASS[3:4],
        chord_legato=0.92,
        bass_legato=0.92,
        lead_legato=0.96,
        reverb=54,
    ),
    "percussion": Style(
        (80, 140),
        {"major": 1},
        kits=("standard", "room", "power"),
        grooves=HAND_GROOVES,
        hands="hand",
        fills=0.6,
        swing=(0.0, 0.2),
        swing_unit=120,
    ),
    "solo_piano": Style(
        (80, 120),
        {"major": 4, "minor": 4, "dorian": 1},
        ("piano",),
        ("piano",),
        ("piano",),
        chord_size=(3, 4),
        density=("sparse", "medium", "busy"),
        chord_manner=("arpeggio", "arpeggio", "block"),
        chord_range=(48, 66),
        chord_rhythms=ARPEGGIOS[:3] + BLOCKS[:4],
        chord_legato=0.98,
        bass_rhythms=LONG_BASS,
        bass_legato=0.97,
        looseness=0.012,
        reverb=40,
    ),
    "solo_guitar": Style(
        (80, 126),
        BRIGHT,
        (),
        ("nylon_guitar", "steel_guitar", "clean_guitar", "jazz_guitar"),
        ("nylon_guitar", "steel_guitar", "clean_guitar", "jazz_guitar"),
        chord_size=(3, 4),
        chord_manner=("arpeggio", "arpeggio", "block"),
        chord_rhythms=ARPEGGIOS + STRUMS[:2],
        chord_range=(52, 74),
        chord_legato=0.98,
        bass_rhythms=("X-------X-----o-", "X-------x-------", "X---x---X---x---"),
        bass_legato=0.97,
        bass_roles=(("root", 2), ("fifth", 4)),
        strum=0.03,
        looseness=0.01,
        reverb=40,
    ),
    "solo_wind": Style(
        (80, 126),
        BRIGHT,
        ("flute", "clarinet", "recorder", "alto_sax", "oboe", "trumpet", "pan_flute"),
        density=("medium", "busy"),
        lead_legato=0.94,
        looseness=0.012,
        reverb=60,
    ),
    "solo_strings": Style(
        (80, 112),
        BRIGHT,
        ("violin", "viola", "cello"),
        density=("medium", "busy"),
        lead_legato=0.97,
        looseness=0.012,
        reverb=60,
    ),
    "solo_mallets": Style(
        (88, 138),
        BRIGHT,
        ("marimba", "vibraphone"),
        ("marimba", "vibraphone"),
        chord_manner=("arpeggio",),
        chord_rhythms=ARPEGGIOS,
        chord_range=(48, 69),
        chord_size=(3, 4),
        density=("medium", "busy"),
        looseness=0.008,
        reverb=44,
    ),
}
# Not in the mixture: for a fine-tune, which should hear something that the base model never has.
ON_REQUEST = {
    "music_box": Style(
        (88, 126),
        {"major": 5, "dorian": 2, "minor": 2},
        ("music_box",),
        ("music_box",),
        chord_manner=("arpeggio",),
        chord_rhythms=ARPEGGIOS[:1] + ARPEGGIOS[2:5],
        chord_range=(67, 86),
        density=("sparse", "medium"),
        looseness=0.004,
        reverb=40,
    ),
    "calypso": Style(
        (104, 132),
        {"major": 5, "mixolydian": 2},
        ("steel_drums",),
        ("steel_drums",),
        ("acoustic_bass",),
        ("standard",),
        chord_rhythms=("--x-o-x-o-x---xo", "--xx--xo--xx-ox-", "-o-x--xo-o-x--xo"),
        chord_legato=0.7,
        chord_range=(55, 74),
        density=("medium", "busy"),
        bass_roles=(("root", 3), ("fifth", 4), ("third", 1)),
        bass_rhythms=("X--o--x-x-o---x-", "X--x--xo--x-o-x-", "X---o-x-x--o--xo"),
        grooves=CALYPSO_GROOVES,
        hands="soft",
        fills=0.5,
    ),
}
ALL_STYLES = STYLES | ON_REQUEST
