"""The page in a real browser: Debian's Chromium, without a screen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_core_python.selenium import Axe
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from support.analysis_fixture import BASE, SIX, Made, build_study

from analysis.figures.registry import StudyContext
from analysis.figures.study import importance, rate_distortion
from analysis.reading.study_record import read_study
from analysis.report.findings import findings
from analysis.report.page import render
from analysis.report.report import write_report
from analysis.report.slider import Slider, compute_slider
from trainables.config import TrialConfig
from trainables.data.datasets import load_dataset

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOCAL = ("file:", "data:", "blob:", "chrome:", "about:")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="chromium and chromedriver are not installed (Debian: chromium chromium-driver)",
    ),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, Service(str(shutil.which("chromedriver"))))
    driver.set_window_size(1280, 900)
    driver.set_script_timeout(300)  # axe takes its time on a busy machine
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = BASE.model_copy(update={"dataset": "nothing"})
    folder = build_study(tmp_path_factory.mktemp("browser") / "study", final_bits=[2.6, 2.4, 2.3, 2.35], base=base)
    return write_report(folder)["report"]


@pytest.fixture
def page(driver: Chrome, report: Path) -> Chrome:
    driver.get(report.as_uri())
    return driver


@pytest.fixture(scope="module")
def sliding(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Slider]:
    """A page with a slider, and what it shows."""
    study = StudyContext(read_study(networks), load_dataset("digits"))
    said = findings(study, study.of(importance.FIGURE), study.of(rate_distortion.FIGURE))
    slider, path = compute_slider(study), tmp_path_factory.mktemp("slider") / "report.html"
    assert slider
    path.write_text(render(study, said, [], {}, {}, [], slider))
    return path, slider


def column(page: Chrome, name: str) -> list[str]:
    """A column's cells in the rows that are shown, from the top."""
    heads = [head.text.strip(" ▲▼") for head in page.find_elements(By.CSS_SELECTOR, "#table th")]
    rows = page.find_elements(By.CSS_SELECTOR, "#table tbody tr")
    return [row.find_elements(By.TAG_NAME, "td")[heads.index(name)].text for row in rows if row.is_displayed()]


def head(page: Chrome, name: str) -> tuple[object, object]:
    for cell in page.find_elements(By.CSS_SELECTOR, "#table th[aria-sort]"):
        if cell.text.strip(" ▲▼") == name:
            return cell, cell.find_element(By.TAG_NAME, "button")
    raise LookupError(name)


def places(driver: Chrome) -> tuple[str, str, str]:
    """What the slider says, where the dot is, and which row of a sprite is seen."""
    told = driver.find_element(By.ID, "walk").get_attribute("aria-valuetext")
    dot, picture = (driver.find_element(By.CSS_SELECTOR, name) for name in (".walk .at", ".walk .frame.noise"))
    return str(told), str(dot.get_attribute("cx")), picture.value_of_css_property("background-position-y")


def test_the_slider_turns_by_keyboard_and_by_touch(driver: Chrome, sliding: tuple[Path, Slider]) -> None:
    path, slider = sliding
    driver.get(path.as_uri())
    field = driver.find_element(By.ID, "walk")
    assert field.accessible_name == "KL weight β"
    assert not driver.find_element(By.CLASS_NAME, "strip").is_displayed()
    for key, k in ((Keys.HOME, 0), (Keys.ARROW_RIGHT, 1), (Keys.END, 16), (Keys.ARROW_LEFT, 15)):
        field.send_keys(key)
        told, x, seen = places(driver)
        assert told == slider.stops[k].text == driver.find_element(By.CLASS_NAME, "told").text
        assert float(x) == slider.curve.dots[k][0]
        assert float(seen.removesuffix("%")) == pytest.approx(100 * k / 16)
    ActionChains(driver).move_to_element(field).click().perform()
    assert places(driver)[0] == slider.stops[8].text
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_frame_shows_the_whole_of_a_picture_at_each_stop(
    driver: Chrome, sliding: tuple[Path, Slider], width: int
) -> None:
    path, slider = sliding
    metrics = {"width": width, "height": 2400, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        driver.get(path.as_uri())
        for sprite in slider.sprites:
            box = driver.find_element(By.CSS_SELECTOR, f".walk .frame.{sprite.name}")
            wide, high = (float(box.get_property(name)) for name in ("clientWidth", "clientHeight"))  # in the border
            assert high == pytest.approx(wide * sprite.size[1] / sprite.size[0], abs=1)
        driver.find_element(By.ID, "walk").send_keys(Keys.HOME)
        heights = set()
        for _ in slider.stops:
            heights.add(tuple(it.size["height"] for it in driver.find_elements(By.CSS_SELECTOR, ".walk .frame")))
            driver.find_element(By.ID, "walk").send_keys(Keys.ARROW_RIGHT)
        assert len(heights) == 1
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_scripts_there_is_a_strip_of_five_weights(driver: Chrome, sliding: tuple[Path, Slider]) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(sliding[0].as_uri())
        assert not driver.find_element(By.CLASS_NAME, "walk").is_displayed()
        strip = driver.find_element(By.CLASS_NAME, "strip")
        weights = [it.text for it in strip.find_elements(By.TAG_NAME, "span")[:5]]
        assert weights == ["β 0.1", "β 0.316", "β 1", "β 3.16", "β 10"]
        pictures = strip.find_elements(By.CLASS_NAME, "frame")
        assert len(pictures) == 15
        assert all(it.size["height"] > 50 and it.accessible_name for it in pictures)
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_violation_beside_a_slider(
    driver: Chrome, sliding: tuple[Path, Slider], width: int, scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        driver.get(sliding[0].as_uri())
        found = Axe().run(driver)
        assert [(rule["id"], node["html"]) for rule in found["violations"] for node in rule["nodes"]] == []
        wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert driver.execute_script(wide)
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_loads_without_an_error_or_a_network(page: Chrome) -> None:
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if not url.startswith(LOCAL)] == []
    pictures = page.find_elements(By.TAG_NAME, "img")
    assert pictures
    for picture in pictures:
        page.execute_script("arguments[0].scrollIntoView()", picture)
        WebDriverWait(page, 10).until(lambda _, p=picture: p.get_property("naturalWidth"))
        assert picture.get_attribute("alt")


def test_a_heading_sorts_by_mouse_and_keyboard_and_the_unknown_come_last(page: Chrome) -> None:
    cell, button = head(page, "val_bits_per_dim")
    assert cell.get_attribute("aria-sort") == "none"
    button.click()
    assert cell.get_attribute("aria-sort") == "ascending"
    assert column(page, "number") == ["4", "0", "1", "5", "2", "3"]
    button.send_keys(Keys.ENTER)
    assert cell.get_attribute("aria-sort") == "descending"
    assert column(page, "number") == ["2", "5", "1", "0", "4", "3"]
    head(page, "state")[1].click()
    assert column(page, "state") == sorted("INTERRUPTED" if made.state == "RUNNING" else made.state for made in SIX)
    assert cell.get_attribute("aria-sort") == "none"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("complete", ["0", "1", "4"]),
        ("complete beta<1", ["4"]),
        ("latent_dim=16", ["4", "5"]),
        ("val_bits_per_dim>=2.65", ["1", "2", "5"]),
        ("script", ["3"]),
        ("latent_dim = 16  state=interrupted", ["5"]),
        ("nowhere", []),
        ("", ["0", "1", "2", "3", "4", "5"]),
    ],
)
def test_the_field_filters_by_words_and_numbers(page: Chrome, text: str, numbers: list[str]) -> None:
    page.find_element(By.ID, "filter").send_keys(text)
    assert column(page, "number") == numbers
    assert page.find_element(By.ID, "shown").text == f"{len(numbers)} of 6 shown"


def test_copy_gives_the_whole_config_of_a_trial(page: Chrome) -> None:
    page.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    row = page.find_elements(By.CSS_SELECTOR, "#table tbody tr")[4]
    button = row.find_element(By.TAG_NAME, "button")
    button.click()
    WebDriverWait(page, 10).until(lambda _: button.text == "copied")
    text = page.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    base = BASE.model_copy(update={"dataset": "nothing"})
    assert TrialConfig.model_validate_json(text) == base.of_trial(4, SIX[4].params)


def test_a_filter_of_no_such_field_says_so(page: Chrome) -> None:
    page.find_element(By.ID, "filter").send_keys("complete latent_size=16")
    assert column(page, "number") == ["0", "1", "2", "3", "4", "5"]
    shown = page.find_element(By.ID, "shown").text
    assert shown.startswith("no field latent_size: there are number, state, beta, latent_dim, depth")
    page.find_element(By.ID, "filter").clear()
    page.find_element(By.ID, "filter").send_keys("beta>much")
    assert column(page, "number") == ["0", "1", "2", "3", "4", "5"]
    assert page.find_element(By.ID, "shown").text == "beta>much must end in a number"


def test_every_table_sorts_and_numbers_as_numbers(page: Chrome) -> None:
    (table,) = (it for it in page.find_elements(By.CSS_SELECTOR, ".scroll") if it.accessible_name == "The front")
    heads = [head.text for head in table.find_elements(By.TAG_NAME, "th")]

    def sort_by(name: str) -> list[str]:
        head = table.find_elements(By.TAG_NAME, "th")[heads.index(name)]
        page.execute_script("arguments[0].scrollIntoView()", head)
        head.find_element(By.TAG_NAME, "button").click()
        rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
        return [row.find_elements(By.TAG_NAME, "td")[heads.index(name)].text for row in rows]

    parameters = sort_by("parameters")
    assert len(parameters) == 4
    assert any("," in number for number in parameters)
    assert parameters == sorted(parameters, key=lambda number: int(number.replace(",", "")))
    assert sort_by("rate (nats)") == sorted(sort_by("rate (nats)"), key=float, reverse=True)[::-1]


def chart_places(page: Chrome) -> list[str]:
    """The charts of a page, each opened and drawn."""
    places = page.find_elements(By.CLASS_NAME, "chart")
    for place in places:
        details = place.find_element(By.XPATH, "./ancestor::details")
        page.execute_script("arguments[0].scrollIntoView()", details)
        details.find_element(By.TAG_NAME, "summary").click()
        WebDriverWait(page, 30).until(lambda _, p=place: p.find_elements(By.CLASS_NAME, "main-svg"))
    return [place.get_attribute("id") for place in places]


def test_the_plots_draw_when_they_are_opened(page: Chrome) -> None:
    assert page.execute_script("return typeof Plotly") == "undefined"
    assert page.find_elements(By.CLASS_NAME, "js-plotly-plot") == []
    assert len(chart_places(page)) >= 6
    for plot in page.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg:first-child"):
        assert plot.size["width"] > 600
        assert plot.size["height"] > 300
    assert len(page.find_elements(By.CSS_SELECTOR, "#rate_distortion .trace.scatter .point")) >= 4
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.usefixtures("pixels_alone")
@pytest.mark.parametrize("spread", [0.1, 1e-14, 0.0])
def test_all_charts_draw_also_where_trials_hardly_differ(spread: float, driver: Chrome, tmp_path: Path) -> None:
    made = [
        Made("COMPLETE", {"beta": 1.0 + k, "model.latent_dim": 2 + k % 3, "model.depth": k % 2}, [3.1, bits])
        for k, bits in enumerate(3 + spread * np.sin(np.arange(8)))
    ]
    base = BASE.model_copy(update={"dataset": "nothing", "definitions": 1})  # whose ledger has the lowest bits
    driver.set_page_load_timeout(60)
    driver.get(write_report(build_study(tmp_path / "study", made, base=base))["report"].as_uri())
    assert {"rate_distortion", "contour", "parallel", "history", "timeline"} <= set(chart_places(driver))
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_violation(page: Chrome, width: int, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for details in page.find_elements(By.TAG_NAME, "details"):
            page.execute_script("arguments[0].open = true", details)
        WebDriverWait(page, 30).until(
            lambda _: page.execute_script("return [...document.querySelectorAll('.chart')].every(place => place.data)")
        )
        found = Axe().run(page)
        assert [(rule["id"], node["html"]) for rule in found["violations"] for node in rule["nodes"]] == []
        assert len(found["passes"]) > 20
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_fits_a_phone_and_a_dark_room(page: Chrome) -> None:
    def background() -> str:
        return str(page.execute_script("return getComputedStyle(document.body).backgroundColor"))

    light = background()
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        assert light == "rgb(255, 255, 255)"
        assert background() == "rgb(13, 17, 23)"
        widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        wide, visible = page.execute_script(widths)
        assert wide <= visible == 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
