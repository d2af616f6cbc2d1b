// The readings over time: kept, drawn as one lane per person (and model), read by a slider, given as CSV.

import { best } from "./tracks.js";

const WINDOW = 60; // seconds of a camera's lane
const MOST = 200_000; // readings kept; beyond, the oldest go
const GAP = 2; // seconds without a reading that are shown as a gap
const TABLE = 20;

export class Timeline {
  constructor(parts, { colours }) {
    this.parts = parts; // elements: lanes, tracks, scrub, reading, quiet, table, tableBox, download, clear
    this.colours = colours;
    this.clear();
    parts.scrub.addEventListener("input", () => { this.seek(); this.draw(); });
    parts.clear.addEventListener("click", () => this.clear());
    parts.download.addEventListener("click", () => this.download());
    parts.tableBox.addEventListener("toggle", () => this.fillTable());
    new ResizeObserver(() => this.draw()).observe(parts.lanes);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear() {
    this.rows = []; // {source, frame, seconds, face, models, order}
    this.empty = []; // {source, frame, seconds, order} of pictures without a face, which count in the log
    this.count = 0;
    this.lanes = new Map();
    this.end = 0;
    this.dropped = false;
    this.held = null; // the moment chosen with the slider, seconds; null: the latest
    const { lanes, tracks, quiet, table, tableBox, download, clear, scrub, reading } = this.parts;
    tracks.replaceChildren();
    table.tBodies[0].replaceChildren();
    scrub.value = scrub.max;
    reading.textContent = "";
    lanes.hidden = tableBox.hidden = true;
    quiet.hidden = false;
    download.disabled = clear.disabled = true;
  }

  /** length: seconds the whole source has; 0 for a camera; null for a photo, which has readings but no time. */
  add(source, frame, seconds, faces, models, length) {
    this.end = seconds;
    this.length = length;
    for (const face of faces) this.rows.push({ source, frame, seconds, face, models, order: this.count++ });
    if (!faces.length) this.empty.push({ source, frame, seconds, order: this.count++ });
    for (const kept of [this.rows, this.empty]) {
      if (kept.length > MOST) { kept.splice(0, kept.length - MOST); this.dropped = true; }
    }
    if (!this.rows.length) return;
    const { lanes, quiet, download, clear, tableBox } = this.parts;
    lanes.hidden = length === null;
    tableBox.hidden = false;
    quiet.hidden = length !== null;
    download.disabled = clear.disabled = false;
    this.draw();
    this.fillTable();
  }

  get range() {
    const end = this.length || Math.max(this.end, WINDOW);
    return [this.length ? 0 : Math.max(0, end - WINDOW), end];
  }

  get moment() { return this.held ?? this.end; }

  /** Take the slider's moment; in the part where nothing is yet, the latest reading before it. */
  seek() {
    const { scrub } = this.parts;
    if (scrub.value === scrub.max) { this.held = null; return; }
    const [start, end] = this.range;
    this.held = Math.min(start + (end - start) * scrub.value / scrub.max, this.end);
  }

  /** Put the slider where its moment is; one that slid out of the window goes along. */
  placeSlider(start, end) {
    if (this.held === null) return;
    this.held = Math.max(this.held, start);
    this.parts.scrub.value = Math.round((this.held - start) / (end - start) * this.parts.scrub.max);
  }

  /** Draw the lanes of who was there in the range, the axis, and say what the moment shows. */
  draw() {
    if (this.parts.lanes.hidden) return;
    const [start, end] = this.range;
    this.placeSlider(start, end);
    const groups = new Map();
    let first = this.rows.length; // the range is at the end
    while (first > 0 && this.rows[first - 1].seconds >= start) first--;
    for (const row of this.rows.slice(first)) {
      for (const model of row.models) {
        const key = `${row.face.person}\n${model}`;
        if (!groups.has(key)) groups.set(key, { person: row.face.person, model, several: row.models.length > 1, rows: [] });
        groups.get(key).rows.push(row);
      }
    }
    for (const [key, lane] of this.lanes) if (!groups.has(key) && key !== "axis") { lane.root.remove(); this.lanes.delete(key); }
    for (const [key, group] of groups) {
      const lane = this.lanes.get(key) ?? this.addLane(key, group);
      this.paint(lane.canvas, group, start, end);
    }
    this.paintAxis(start, end);
    this.read(groups);
  }

  addLane(key, group) {
    const root = document.createElement("div");
    root.className = key === "axis" ? "lane axis" : "lane";
    const title = document.createElement("span");
    if (group) {
      title.textContent = `Person ${group.person}`;
      if (group.several) title.append(Object.assign(document.createElement("small"), { textContent: group.model }));
    }
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    root.append(title, canvas);
    const axis = this.lanes.get("axis");
    if (axis) axis.root.before(root);
    else this.parts.tracks.append(root);
    const lane = { root, canvas };
    this.lanes.set(key, lane);
    return lane;
  }

  paint(canvas, group, start, end) {
    const [context, width, height] = prepared(canvas);
    const at = (seconds) => (seconds - start) / (end - start) * width;
    const names = Object.keys(group.rows[0].face.models[group.model]);
    let from = 0;
    for (let i = 1; i <= group.rows.length; i++) { // stretches without a gap
      if (i < group.rows.length && group.rows[i].seconds - group.rows[i - 1].seconds <= GAP) continue;
      stack(context, group.rows.slice(from, i), group.model, names, at, height, this.colours);
      from = i;
    }
    if (this.held !== null) marker(context, at(this.moment), height);
  }

  paintAxis(start, end) {
    const lane = this.lanes.get("axis") ?? this.addLane("axis");
    const [context, width] = prepared(lane.canvas);
    const style = getComputedStyle(lane.canvas);
    context.fillStyle = style.color;
    context.font = `12px ${style.fontFamily}`;
    context.textBaseline = "top";
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((each) => (end - start) / each <= width / 70) ?? 7200;
    for (let tick = Math.ceil(start / step) * step; tick <= end; tick += step) {
      const x = (tick - start) / (end - start) * width;
      context.fillRect(Math.min(x, width - 1), 0, 1, 4);
      context.textAlign = x < 15 ? "left" : x > width - 15 ? "right" : "center";
      context.fillText(clock(tick), x, 6);
    }
  }

  /** The moment in words. */
  read(groups) {
    const moment = this.moment;
    const said = [];
    for (const { person, model, several, rows } of groups.values()) {
      const near = rows.reduce((a, b) => (Math.abs(b.seconds - moment) < Math.abs(a.seconds - moment) ? b : a));
      if (Math.abs(near.seconds - moment) > GAP) continue;
      const [name, value] = best(near.face.models[model]);
      const attention = near.face.attention ? `, ${near.face.attention.state}` : "";
      said.push(`person ${person}${several ? ` (${model})` : ""} ${name} ${Math.round(value * 100)}%${attention}`);
    }
    const text = `${clock(moment)}: ${said.join("; ") || "nobody"}`;
    const { reading, scrub } = this.parts;
    reading.textContent = text;
    scrub.setAttribute("aria-valuetext", text);
  }

  fillTable() {
    const { table, tableBox } = this.parts;
    if (!tableBox.open) return;
    const cells = (tag, texts) => {
      const row = document.createElement("tr");
      row.append(...texts.map((text) => Object.assign(document.createElement(tag), { textContent: text })));
      return row;
    };
    table.tHead.replaceChildren(cells("th", ["time", "person", "model", "expression", "confidence"]));
    const last = this.rows.slice(-TABLE).reverse();
    table.tBodies[0].replaceChildren(...last.flatMap(({ seconds, face, models }) => models.map((model) => {
      const [name, value] = best(face.models[model]);
      return cells("td", [clock(seconds, 1), face.person, model, name, `${Math.round(value * 100)}%`]);
    })));
  }

  /** The same columns as `ganfer predict` writes, for `ganfer timeline`. */
  csv() {
    const models = [...new Set(this.rows.flatMap((row) => row.models))];
    const names = [...new Set(this.rows.flatMap((row) => row.models.flatMap((model) => Object.keys(row.face.models[model]))))];
    const attends = this.rows.some((row) => row.face.attention);
    const header = ["source", "frame", "seconds", "person", "x", "y", "width", "height", "detection", "expression", "confidence"];
    if (attends) header.push("attention", "yaw", "pitch", "closed", "blinks", "calibrated");
    models.forEach((model, index) => names.forEach((name) => header.push(index ? `${model}.p_${name}` : `p_${name}`)));
    const nobody = this.empty.map(({ source, frame, seconds, order }) => {
      const cells = header.map((column) => (column === "attention" ? "no face" : ""));
      [cells[0], cells[1], cells[2]] = [source, frame, seconds.toFixed(3)];
      return [order, cells.map(quoted).join(",")];
    });
    const seen = this.rows.map(({ source, frame, seconds, face, models: there, order }) => {
      const [name, value] = best(face.models[there[0]]);
      const cells = [source, frame, seconds.toFixed(3), face.person, ...face.box, face.detection, name, value.toFixed(4)];
      if (attends) {
        const { state = "", yaw = null, pitch = null, closed = null, calibrated = "" } = face.attention ?? {};
        cells.push(state, fixed(yaw, 1), fixed(pitch, 1), fixed(closed, 3), "", calibrated === "" ? "" : calibrated ? "True" : "False");
      }
      models.forEach((model) => names.forEach((each) => cells.push(fixed(face.models[model]?.[each] ?? null, 4))));
      return [order, cells.map(quoted).join(",")];
    });
    const lines = [...nobody, ...seen].sort((a, b) => a[0] - b[0]).map(([, line]) => line);
    return [header.map(quoted).join(","), ...lines].join("\r\n") + "\r\n";
  }

  download() {
    const url = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
    Object.assign(document.createElement("a"), { href: url, download: `ganfer-${stamp}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}

const fixed = (value, digits) => (value === null ? "" : value.toFixed(digits));

const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/, MARKED = /^'[=+\-@\t\r\n＝＋－＠']/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A CSV cell; one that a spreadsheet would take for a formula is made text, as ganfer's own tables have it. */
function quoted(value) {
  let text = String(value);
  if (typeof value === "string" && (FORMULA.test(text) ? !NUMBER.test(text) : MARKED.test(text))) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** `1:05`, or `1:05.2` with digits. */
export function clock(seconds, digits = 0) {
  const total = Number(seconds.toFixed(digits));
  const whole = Math.floor(total / 60);
  return `${whole}:${(total - 60 * whole).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
}

function prepared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return [context, width, height];
}

/** Probabilities as areas upon each other, from the bottom in the classes' order. */
function stack(context, rows, model, names, at, height, colours) {
  const thin = Math.max(1, Math.floor(rows.length / 1500));
  const kept = rows.filter((_, index) => index % thin === 0 || index === rows.length - 1);
  const xs = kept.map((row) => at(row.seconds));
  if (kept.length === 1) { xs[0] -= 1.5; xs.push(xs[0] + 3); kept.push(kept[0]); }
  const floor = kept.map(() => 0);
  for (const name of names) {
    context.beginPath();
    floor.forEach((value, i) => context.lineTo(xs[i], height * (1 - value)));
    for (let i = kept.length - 1; i >= 0; i--) {
      floor[i] += kept[i].face.models[model][name];
      context.lineTo(xs[i], height * (1 - floor[i]));
    }
    context.closePath();
    context.fillStyle = colours[name];
    context.fill();
  }
}

function marker(context, x, height) {
  context.fillStyle = "#000";
  context.fillRect(x - 1.5, 0, 3, height);
  context.fillStyle = "#fff";
  context.fillRect(x - 0.5, 0, 1, height);
}
