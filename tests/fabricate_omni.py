"""The shape of a small omni: its weights are random, so it answers nonsense."""

from data.world.sentences import WORDS
from helpers.omni.configs import BlocksConfig, CodecConfig, Config, VoiceConfig

SMALL = Config(
    words=WORDS,
    thinker=BlocksConfig(32, 2, 4, 2, 48),
    ear=BlocksConfig(24, 1, 2, 2, 32),
    eye=BlocksConfig(24, 1, 2, 1, 32),
    talker=BlocksConfig(24, 2, 3, 1, 32),
    codec=CodecConfig(16, 8, 2, 12),
    voice=VoiceConfig(16, 2, 24),
)
