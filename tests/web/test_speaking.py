"""Speaking to the page: a real Chromium whose microphone plays recordings."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect
from web.browsing import TRANSPORTS, answers, say, serving, spoken, use

from realtime.engine.api import AssistantTurn, Delta
from realtime.engine.fake import FakeEngine

pytestmark = [pytest.mark.real_time, pytest.mark.asyncio(loop_scope="session")]


def heard(engine: FakeEngine) -> list[tuple[int, ...]]:
    """Give the answers, as tokens, that the last request remembers."""
    return [turn.tokens for turn in engine.requests[-1].turns if isinstance(turn, AssistantTurn)]


async def test_the_second_question_remembers_the_first(server, chromium):
    page = await chromium.open(server.url)  # over WebRTC, since that works here
    await expect(page.get_by_role("heading", name="Press the button and speak.")).to_be_visible()
    await page.get_by_role("button", name="Start the microphone").click()
    await expect(page.locator("#link-text")).to_have_text("WebRTC")
    await say(page, "my-name-is-anna.wav")
    await expect(answers(page)).to_have_text(["Nice to meet you, Anna."])
    await say(page, "what-is-my-name.wav")
    await expect(answers(page)).to_have_text(["Nice to meet you, Anna.", "Your name is Anna."])
    await expect(page.locator("#phase-text")).to_have_text("Listening")
    # What was said can be read, and heard again.
    said = page.locator(".user.spoken")
    await expect(said.nth(1).locator(".transcript")).to_have_text("What is my name.")
    play = said.nth(0).get_by_role("button", name="Play what you said")
    await play.click()
    await expect(play).to_have_class("sound playing")
    await expect(play).to_have_class("sound")
    # How long it took is drawn, and told in a table.
    await page.locator("#timing-button").click()
    await expect(page.locator("#chart .chart .bar")).to_have_count(2)
    await page.get_by_text("As a table").click()
    await expect(page.locator("#chart-table tbody tr")).to_have_count(2)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_question_from_the_microphone_is_answered(transport, server, chromium, tmp_path):
    microphone = spoken(tmp_path / "mic.wav", 0.7, "what-is-the-capital-of-france.mp3", 3.0)
    page = await chromium.open(server.url, microphone)
    await use(page, transport=transport)
    await page.locator("#talk").click()
    await expect(page.locator("#phase-text")).to_have_text("Hearing you")
    await expect(answers(page)).to_have_text(["Paris."])


async def test_speech_cuts_a_long_answer_and_the_page_shows_where(chromium):
    gate = asyncio.Event()

    def script(request):
        if len(request.turns) > 1:
            return "Yes."
        count = [Delta((n,), f"{word} ") for n, word in enumerate(("One,", "two,", "three,"))]
        return [*count, gate, Delta((9,), "four.", "stop")]

    engine = FakeEngine(script)
    async with serving(engine) as server:
        page = await chromium.open(server.url)
        await use(page, transcribe=False)
        await page.locator("#talk").click()
        await say(page, "count-to-twenty.wav")
        await expect(page.locator(".assistant.in_progress .words")).to_contain_text("two, three,")
        await say(page, "say-that-again.wav")
        cut = page.locator(".assistant").first
        await expect(cut.locator(".meta strong")).to_have_text("Interrupted when you spoke")
        await expect(cut.locator(".words")).to_contain_text("One, two, three,")
        await expect(answers(page).nth(1)).to_have_text("Yes.")
    assert heard(engine) == [(0, 1, 2)]


# A voice that the test speaks with: Chromium on Linux has none.
VOICE = """
window.voice = { said: [], cancelled: 0 };
window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
Object.defineProperty(window, "speechSynthesis", { value: {
  speak: (utterance) => voice.said.push(utterance),
  cancel: () => voice.cancelled++,
} });
"""


async def test_speech_silences_the_voice_and_what_was_not_heard_is_struck_out(chromium):
    words = ("One, ", "two, ", "three, ", "four.")
    count = [Delta((n,), word, "stop" if n == 3 else None) for n, word in enumerate(words)]
    engine = FakeEngine(lambda request: count if len(request.turns) == 1 else "Yes.")
    async with serving(engine) as server:
        page = await chromium.open(server.url)
        await page.add_init_script(VOICE)
        await use(page, aloud=True, transcribe=False)
        await page.locator("#talk").click()
        await say(page, "count-to-twenty.wav")
        await expect(answers(page)).to_have_text(["One, two, three, four."])
        await page.evaluate("voice.said[0].onboundary({ charIndex: 10 })")
        await expect(page.locator("#phase-text")).to_have_text("Answering")
        await say(page, "say-that-again.wav")
        cut = page.locator(".assistant").first
        await expect(cut.locator("s")).to_have_text("three, four.")
        await expect(cut.locator(".words > span:nth-child(2)")).to_have_text("One, two, ")
        await expect(cut.locator(".meta strong")).to_have_text("Interrupted when you spoke")
        assert await page.evaluate("voice.cancelled") >= 1
        await expect(answers(page).nth(1)).to_have_text("Yes.")
    assert heard(engine) == [(0, 1)]  # the model knows what was heard, too


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_space_bar_is_held_to_talk(transport, server, chromium):
    page = await chromium.open(server.url)
    await use(page, talk="push", transport=transport)
    await page.keyboard.down("Space")
    await expect(page.locator("#phase-text")).to_have_text("Hearing you")
    await expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")
    await say(page, "what-is-the-capital-of-france.mp3")
    await page.keyboard.up("Space")
    await expect(answers(page)).to_have_text(["Paris."])
    await expect(page.locator("#talk")).to_have_attribute("aria-pressed", "false")


async def test_each_utterance_gets_its_caption(server, chromium):
    page = await chromium.open(server.url)
    await use(page, transcribe=False)
    await page.get_by_label("Analysis").check()
    await page.get_by_role("button", name="What does the person say?").click()
    await page.get_by_label("Every turn").check()
    await page.locator("#talk").click()
    await say(page, "turn-on-the-kitchen-light.flac")
    await say(page, "say-that-again.wav")  # whether the first one has its caption or not
    captions = ["Turn on the kitchen light.", "Say that again."]
    await expect(answers(page)).to_have_text(captions)
    await expect(page.get_by_label("Instruction", exact=True)).to_have_value(
        "What does the person say?"
    )
