// The blind test: one face after the other, two questions each, by keys or buttons.

import { agreementWords, byId, element, get, percent, post, start } from "./api.js";

let place = null, of = 0, classes = [], version = "", real = null, label = null, sending = false;

function say(error) {
  byId("message").textContent = error.message ?? String(error);
}

function show() {
  const answered = place === null ? of : place;
  byId("asked").hidden = place === null;
  byId("progress").max = of;
  byId("progress").value = answered;
  real = label = null;
  press();
  if (place === null) {
    result().catch(say);
    return;
  }
  byId("place").textContent = `Face ${place + 1} of ${of}`;
  byId("face").src = `/api/blind/${place}.png?v=${version}`;
}

function press() {
  byId("real").setAttribute("aria-pressed", String(real === true));
  byId("made").setAttribute("aria-pressed", String(real === false));
  for (const button of byId("labels").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.label === label));
  byId("next").disabled = real === null || label === null || sending;
}

function choose(change) {
  if ("real" in change) ({ real } = change);
  if ("label" in change) ({ label } = change);
  press();
}

async function next() {
  if (real === null || label === null || sending) return;
  sending = true;
  press();
  try {
    ({ place } = await post(`/api/blind/${place}`, { real, label, version }));
    byId("message").textContent = "";
  } catch (error) { // answered in another window, or new labels brought other faces
    say(error);
    ({ place, of, version } = await get("/api/blind"));
  } finally {
    sending = false;
  }
  show();
}

const words = (part) => (part ? `${percent(part.share)} of ${part.of} (${percent(part.low)} to ${percent(part.high)})` : "–");

async function result() {
  const { people, agreement } = await get("/api/blind/result");
  const head = ["Who", "Real from made told", "Made taken for real", "Expression of real named", "Expression of made named"];
  const rows = Object.entries(people).map(([name, found]) => element("tr", {}, element("th", { text: name, scope: "row" }),
    ...["told_apart", "made_taken_for_real", "expression_of_real", "expression_of_made"].map((key) => element("td", { text: words(found[key]) }))));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { text, scope: "col" })))), element("tbody", {}, ...rows));
  byId("lead").textContent = "All faces are answered. Half is what guessing brings; in brackets the 95% interval.";
  byId("result").replaceChildren(element("div", { class: "scroll wide", tabindex: "0", role: "region", "aria-label": "Result" }, table),
    ...agreement.map((pair) => element("p", { class: "soft", text: agreementWords(pair) })));
}

function onKey(event) {
  if (place === null || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toLowerCase();
  if (key === "r") choose({ real: true });
  else if (key === "m") choose({ real: false });
  else if (/^[0-9]$/.test(key) && classes[(Number(key) + 9) % 10]) choose({ label: classes[(Number(key) + 9) % 10] });
  else if (key === "enter" && !event.target.closest("button, a")) next().catch(say);
  else return;
  event.preventDefault();
}

async function main() {
  await start();
  byId("real").addEventListener("click", () => choose({ real: true }));
  byId("made").addEventListener("click", () => choose({ real: false }));
  byId("next").addEventListener("click", () => next().catch(say));
  document.addEventListener("keydown", onKey);
  ({ place, of, classes, version } = await get("/api/blind"));
  byId("labels").append(...classes.map((name, k) => {
    const button = element("button", { type: "button", "aria-pressed": "false", "data-label": name }, name);
    if (k < 10) button.append(element("kbd", { text: String((k + 1) % 10) }));
    button.addEventListener("click", () => choose({ label: name }));
    return button;
  }));
  show();
  document.documentElement.dataset.ready = "true";
}

main().catch((error) => {
  say(error);
  document.documentElement.dataset.ready = "true";
});
