// The wall: look, move, decide. Every decision goes to the server first and is shown when it is on the disk.

import { agreementWords, byId, element, get, options, percent, post, start } from "./api.js";
import { Faces, NONE, REJECTED } from "./faces.js";
import { Grid } from "./grid.js";

const labels = location.pathname === "/labels";
const kindOfWall = labels ? "labels" : "faces";
const TONES = ["", "#8b9298", "#e0569b", "#e2a93b", "#9a78e6", "#e5513b", "#46b5c4", "#7fa650"];
const NEWS = 4000; // milliseconds between two looks at what others decided

let faces, grid, path, focus = 0, anchor = null, busy = Promise.resolve(), shownFor = -1;
const own = {
  what: (i, name) => (labels
    ? `labelled ${name(faces.label[i])}, looks ${name(faces.suggested[i])}, ${faces.kinds[faces.kind[i]]} image`
    : `asked ${name(faces.asked[i])}, labelled ${name(faces.label[i])}, ${faces.kinds[faces.kind[i]]}`),
};

async function open(name) {
  grid?.end();
  path = `/api/wall/${kindOfWall}/${encodeURIComponent(name)}`;
  const wall = await get(path);
  faces = new Faces(wall);
  shownFor = -1; // the same place is another image
  options(byId("class"), [["", "all"], ...faces.classes.map((text, k) => [String(k), text])], "");
  options(byId("kind"), [["", "all"], ...faces.kinds.map((text, k) => [String(k), text])], "");
  byId("classes").replaceChildren(...faces.classes.map((text, k) => {
    const button = element("button", { type: "button", "aria-pressed": "false", "data-class": String(k) }, text);
    if (k < 10) button.append(element("kbd", { text: String((k + 1) % 10) }));
    button.addEventListener("click", () => decide("label", text));
    return button;
  }));
  byId("csv").href = `${path}/decisions.csv`;
  legend();
  faces.choose(chosen());
  grid = new Grid(byId("wall"), byId("long"), faces, path, wall.version, wall.tile, labels ? [] : TONES);
  grid.onLaidOut = () => showFocus(false);
  Object.assign(window, { ganferGrid: grid, ganferFaces: () => faces }); // for measurements from outside
  move(0, false);
  tell();
}

function legend() {
  const entries = labels ? [] : faces.kinds.slice(1).map((text, k) => {
    const swatch = element("i", { "aria-hidden": "true" });
    swatch.style.background = TONES[k + 1];
    return element("span", {}, swatch, text);
  });
  byId("legend").replaceChildren(...entries, element("span", { text: labels ? "The most doubtful labels come first." : "A strip below a face: why the screen rejected it." }));
}

const chosen = () => ({ cls: byId("class").value, kind: byId("kind").value, decided: byId("decided").value, order: byId("order").value });

function again() {
  const index = faces.shown[focus];
  faces.choose(chosen());
  grid.selected.clear();
  anchor = null;
  grid.box.scrollTop = 0;
  grid.layOut();
  move(Math.max(0, faces.shown.indexOf(index)), true);
  tell();
}

function tell() {
  const several = grid.selected.size ? `, ${grid.selected.size.toLocaleString("en")} selected` : "";
  byId("count").textContent = `${faces.shown.length.toLocaleString("en")} of ${faces.count.toLocaleString("en")} ${labels ? "doubtful labels" : "faces"} shown, ${faces.decided.toLocaleString("en")} decided${several}`;
}

// --- focus and selection ---------------------------------------------------------------------------------------------

function move(place, scroll = true) {
  if (!faces.shown.length) {
    showFocus(false);
    return;
  }
  focus = Math.max(0, Math.min(faces.shown.length - 1, place));
  showFocus(scroll);
}

function showFocus(scroll) {
  const now = byId("now");
  const index = faces.shown[focus];
  now.hidden = index === undefined;
  if (now.hidden) {
    byId("wall").removeAttribute("aria-activedescendant");
    describe(undefined);
    return;
  }
  const [x, y, side] = grid.rectangle(focus);
  Object.assign(now.style, { left: `${x}px`, top: `${y}px`, width: `${side}px`, height: `${side}px` });
  now.setAttribute("aria-setsize", faces.shown.length);
  now.setAttribute("aria-posinset", focus + 1);
  now.setAttribute("aria-selected", String(grid.selected.has(focus)));
  now.setAttribute("aria-label", faces.words(index, own));
  byId("wall").setAttribute("aria-activedescendant", "now");
  if (scroll) grid.bringIntoSight(focus);
  describe(index);
}

let pending = 0;
function describe(index) {
  const said = index === undefined ? NONE : faces.decision[index];
  const verdict = byId("verdict");
  if (index === undefined) verdict.textContent = faces.count ? "Nothing matches these choices." : "";
  else {
    const strong = element("strong", { text: said === NONE ? "No decision yet" : said === REJECTED ? `Rejected by ${faces.by.get(index)}` : `Kept as ${faces.classes[said]} by ${faces.by.get(index)}` });
    verdict.replaceChildren(strong, `: ${own.what(index, (k) => faces.classes[k] ?? "no class")}.`);
  }
  for (const button of byId("classes").children) {
    button.setAttribute("aria-pressed", String(index !== undefined && said !== REJECTED && faces.labelOf(index) === Number(button.dataset.class)));
  }
  for (const id of ["keep", "reject"]) byId(id).disabled = index === undefined;
  if (index === shownFor) return;
  clearTimeout(pending);
  pending = setTimeout(() => details(index), 60); // a held arrow key passes many faces
}

async function details(index) {
  shownFor = index;
  const picture = byId("picture");
  picture.hidden = index === undefined;
  if (index === undefined) {
    byId("beside-box").hidden = true;
    byId("picture-text").textContent = "No face in focus";
    byId("bars").replaceChildren();
    byId("facts").replaceChildren();
    return;
  }
  const where = path;
  const facts = await get(`${path}/face/${index}`).catch(say);
  if (!facts || shownFor !== index || where !== path) return;
  picture.src = `${path}/picture/${index}.png?v=${grid.version}`;
  picture.alt = `${faces.words(index, own)}`;
  byId("picture-text").textContent = facts.name;
  const near = facts.figures["nearest training image"];
  byId("beside-box").hidden = !near;
  if (near) {
    byId("beside").src = `${path}/beside/${index}.png?v=${grid.version}`;
    byId("beside").alt = `The ${facts.beside}, ${near}`;
    byId("beside-text").textContent = `${facts.beside}: ${near}`;
  } else byId("beside").removeAttribute("src");
  const best = Math.max(...facts.probabilities);
  byId("bars").replaceChildren(...facts.probabilities.map((p, k) => {
    const fill = element("i");
    fill.style.inlineSize = percent(p);
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, fill);
    return element("li", p === best ? { class: "best" } : {}, element("span", { text: faces.classes[k] }), bar, element("span", { class: "value", text: p.toFixed(2) }));
  }));
  const figures = Object.entries({ ...facts.figures, confidence: facts.confidence.toFixed(3) });
  byId("facts").replaceChildren(...figures.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]));
}

function select(places, keep = false) {
  if (!keep) grid.selected.clear();
  for (const place of places) grid.selected.add(place);
  grid.redraw();
  showFocus(false);
  tell();
}

function toggle(place) {
  if (!grid.selected.delete(place)) grid.selected.add(place);
  grid.redraw();
  showFocus(false);
  tell();
}

// --- deciding --------------------------------------------------------------------------------------------------------

function say(error) {
  byId("message").textContent = error.message ?? String(error);
}

// One after another: a decision is sent when the one before it is on the disk.
function queue(work) {
  busy = busy.then(work).catch(say);
  return busy;
}

function decide(what, label) {
  const several = grid.selected.size > 0;
  const places = several ? [...grid.selected] : [focus];
  const chosenFaces = places.map((place) => faces.shown[place]).filter((index) => index !== undefined);
  if (!chosenFaces.length) return busy;
  grid.selected.clear();
  if (!several) move(focus + 1);
  const [where, { version }] = [path, grid]; // of the wall that was looked at, whatever is open when its turn comes
  return queue(async () => {
    const answer = await post(`${where}/decide`, { faces: chosenFaces, do: what, label, version });
    if (where !== path) return;
    byId("message").textContent = "";
    taken(answer);
    const words = { keep: "kept", reject: "rejected", label: `kept as ${label}` }[what];
    byId("spoken").textContent = `${chosenFaces.length === 1 ? faces.words(chosenFaces[0], own) : `${chosenFaces.length} ${words}`}`;
  });
}

function undo() {
  const [where, { version }] = [path, grid];
  return queue(async () => {
    const answer = await post(`${where}/undo`, { version });
    if (where !== path) return;
    if (!answer.changes.length) {
      say({ message: answer.undone ? "Taken back: a decision on what an earlier audit showed." : "You have no decision here to take back." });
      if (answer.undone) taken(answer);
      return;
    }
    byId("message").textContent = "";
    taken(answer);
    const place = faces.shown.indexOf(answer.changes[0][0]);
    if (place >= 0) move(place);
    byId("spoken").textContent = `Taken back: ${answer.changes.length} ${answer.changes.length === 1 ? "decision" : "decisions"}`;
  });
}

function taken(answer) {
  faces.take(answer.changes);
  if (answer.lines !== faces.lines + 1) setTimeout(news, 0); // somebody else decided, too
  else faces.lines = answer.lines;
  grid.redraw();
  showFocus(false);
  tell();
}

async function news() {
  const where = path;
  const answer = await get(`${path}/news?lines=${faces.lines}`).catch(say);
  if (!answer || where !== path) return;
  if (answer.version !== grid.version) { // the batch was labelled anew, or the data audited again
    await open(byId("source").value).catch(say);
    return;
  }
  if (answer.decisions === null) return;
  faces.lines = answer.lines;
  faces.forget();
  faces.take(answer.decisions);
  grid.redraw();
  showFocus(false);
  tell();
}

async function people() {
  if (!byId("people-box").open) return;
  const { reviewers, agreement } = await get(`${path}/people`);
  const counts = Object.entries(reviewers).map(([name, n]) => element("p", { class: "soft", text: `${name} decided on ${n.toLocaleString("en")}` }));
  byId("people").replaceChildren(...counts, ...agreement.map((pair) => element("p", { class: "soft", text: agreementWords(pair) })));
  if (!counts.length) byId("people").textContent = "Nobody has decided on anything yet.";
}

// --- keys and pointers -----------------------------------------------------------------------------------------------

const STEPS = {
  ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -grid.columns, ArrowDown: () => grid.columns,
  Home: () => -focus, End: () => faces.shown.length,
  PageUp: () => -grid.columns * Math.max(1, Math.floor(grid.box.clientHeight / grid.cell) - 1),
  PageDown: () => grid.columns * Math.max(1, Math.floor(grid.box.clientHeight / grid.cell) - 1),
};

function onKey(event) {
  const inField = event.target.closest("select, input, textarea, summary, a, button") && event.target !== grid.box;
  if (event.altKey || event.metaKey || !faces) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey) {
    if (key !== "a" || inField) return;
    select(faces.shown.keys());
  } else if (STEPS[key] && !inField) {
    const before = focus;
    move(focus + STEPS[key]());
    if (event.shiftKey) {
      anchor ??= before;
      const [from, to] = [Math.min(anchor, focus), Math.max(anchor, focus)];
      select(Array.from({ length: to - from + 1 }, (_, k) => from + k));
    } else anchor = null;
  } else if (event.target.closest("select, input, textarea")) return;
  else if (key === "k") decide("keep");
  else if (key === "r") decide("reject");
  else if (key === "u") undo();
  else if (/^[0-9]$/.test(key) && faces.classes[(Number(key) + 9) % 10]) decide("label", faces.classes[(Number(key) + 9) % 10]);
  else if (key === " " && !inField) toggle(focus);
  else if (key === "Escape") select([]);
  else return;
  event.preventDefault();
}

function listen() {
  const box = byId("wall"), long = byId("long"), band = byId("band");
  let from = null, before = new Set(), moved = false, pull = 0, at = null;
  const point = (event) => {
    const rectangle = long.getBoundingClientRect();
    return [event.clientX - rectangle.left, event.clientY - rectangle.top];
  };
  const stretch = () => {
    if (!from || !at) return;
    const [x, y] = point(at);
    Object.assign(band.style, { left: `${Math.min(x, from[0])}px`, top: `${Math.min(y, from[1])}px`, width: `${Math.abs(x - from[0])}px`, height: `${Math.abs(y - from[1])}px` });
    band.hidden = false;
    grid.selected = new Set([...before, ...grid.within(from[0], from[1], x, y)]);
    grid.redraw();
    tell();
  };
  const drag = () => { // towards an edge the wall goes on
    if (!from || !moved || !at) return;
    const { top, bottom } = box.getBoundingClientRect();
    const beyond = at.clientY < top + 24 ? at.clientY - top - 24 : at.clientY > bottom - 24 ? at.clientY - bottom + 24 : 0;
    if (beyond) {
      box.scrollTop += beyond / 2;
      stretch();
    }
    pull = requestAnimationFrame(drag);
  };
  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.offsetX > box.clientWidth || !faces) return;
    const place = grid.placeAt(event.clientX, event.clientY);
    const marking = event.pointerType === "mouse" || byId("marking").getAttribute("aria-pressed") === "true";
    if (!marking) {
      if (place !== null) move(place, false);
      return;
    }
    from = point(event);
    moved = false;
    before = event.ctrlKey || event.shiftKey || event.pointerType !== "mouse" ? new Set(grid.selected) : new Set();
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    if (!from) return;
    at = event;
    const [x, y] = point(event);
    if (!moved && Math.hypot(x - from[0], y - from[1]) < 6) return;
    if (!moved) {
      moved = true;
      pull = requestAnimationFrame(drag);
    }
    stretch();
  });
  box.addEventListener("pointerup", (event) => {
    if (!from) return;
    const place = grid.placeAt(event.clientX, event.clientY);
    if (!moved && place !== null) {
      if (event.ctrlKey || byId("marking").getAttribute("aria-pressed") === "true") toggle(place);
      else if (event.shiftKey) select(Array.from({ length: Math.abs(place - focus) + 1 }, (_, k) => Math.min(place, focus) + k), true);
      else select([]);
      move(place, false);
    }
    letGo();
  });
  const letGo = () => {
    cancelAnimationFrame(pull);
    from = null;
    band.hidden = true;
    if (grid) showFocus(false);
  };
  box.addEventListener("pointercancel", letGo);
  document.addEventListener("keydown", onKey);
  byId("keep").addEventListener("click", () => decide("keep"));
  byId("reject").addEventListener("click", () => decide("reject"));
  byId("undo").addEventListener("click", undo);
  byId("marking").addEventListener("click", () => {
    const on = byId("marking").getAttribute("aria-pressed") !== "true";
    byId("marking").setAttribute("aria-pressed", String(on));
    box.classList.toggle("marking", on);
    if (!on) select([]);
  });
  for (const id of ["class", "kind", "decided", "order"]) byId(id).addEventListener("change", again);
  byId("source").addEventListener("change", () => open(byId("source").value).catch(say));
  byId("people-box").addEventListener("toggle", () => people().catch(say));
  setInterval(() => { if (faces && !document.hidden) news(); }, NEWS);
}

async function main() {
  if (labels) {
    byId("source-name").textContent = "Data";
    byId("kind-name").textContent = "Split";
    byId("wall").setAttribute("aria-label", "Images with doubtful labels");
  }
  listen();
  const about = await start();
  const names = about[kindOfWall];
  options(byId("source"), names.map((name) => [name, name]), names[0]);
  if (names.length) await open(names[0]);
  else byId("count").textContent = labels ? "No data set was audited yet. Audit one: ganfer data audit" : "There is no labelled batch yet. Make one: ganfer label";
  document.documentElement.dataset.ready = "true";
}

main().catch((error) => {
  byId("count").textContent = "";
  say(error);
});
