"""The page of the settings says what the settings are."""

from __future__ import annotations

from scripts.settings_page import PAGE, page


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == page(), "run scripts/settings_page.py"


def test_no_secret_has_a_default_to_show():
    assert "(a secret)" in page()
