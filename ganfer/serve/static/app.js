// The live page: a source gives pictures, the server finds and reads the faces, the page shows and remembers them.

import { Attention } from "./attention.js";
import { drawOverlay } from "./overlay.js";
import { People } from "./people.js";
import { cameraPossible, NO_CAMERA_HERE, openCamera, openPhoto, openVideo } from "./sources.js";
import { Timeline } from "./timeline.js";
import { best, Tracker } from "./tracks.js";

const at = (id) => document.getElementById(id);
const SHORTEST = 66; // milliseconds between two frames: 15 a second are enough for expressions
const SPEAK_EVERY = 4000; // milliseconds between two announcements
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

let settings, people, timeline, tracker, attention;
let source = null;
let running = 0; // number of the run whose answers count
let shown = { faces: [], size: [0, 0] };
let frames = 0;
let pace = [];
let spokenAt = 0, spokenText = "";

const say = (text) => { at("message").textContent = text; };
const models = () => [at("model").value, at("other").value].filter(Boolean).filter((name, index, all) => all.indexOf(name) === index);

/** Ask the server. A busy one is asked again when it says so; an Error carries one line for the user. */
async function analyze(blob, names, run) {
  while (run === running) {
    const gaze = settings.attention ? "&gaze=true" : "";
    const response = await fetch(`/analyze?models=${names.map(encodeURIComponent).join(",")}${gaze}`, {
      method: "POST", body: blob, headers: { "Content-Type": blob.type || "application/octet-stream" },
    });
    if (response.ok) return response.json();
    if (response.status !== 429) {
      const { error = response.statusText } = await response.json().catch(() => ({}));
      throw Object.assign(new Error(error), { answered: true });
    }
    await wait(1000 * Number(response.headers.get("Retry-After") ?? 1));
  }
  return null;
}

/** Analyse shots until the source ends, or another takes its place. */
async function work(run) {
  const own = source;
  while (run === running) {
    const began = performance.now();
    if (document.hidden && own.kind === "camera") { await wait(250); continue; }
    const shot = await own.shot();
    if (run !== running) return;
    if (!shot) break;
    const sent = performance.now();
    let answer;
    try {
      answer = await analyze(shot.blob, models(), run);
    } catch (error) {
      if (error.answered || !own.live) throw error;
      say("The server does not answer. Trying again …");
      await wait(1000);
      continue;
    }
    if (run !== running || !answer) return;
    say("");
    show(answer, shot, performance.now() - sent);
    if (own.live) await wait(Math.max(0, SHORTEST - (performance.now() - began)));
  }
  at("pace").hidden = true;
  if (own.kind === "video") say("");
}

/** Put one answer on the stage, the cards and the timeline. */
function show(answer, shot, milliseconds) {
  const faces = tracker.update(answer.faces, shot.seconds, source.live);
  for (const face of faces) {
    if (face.gaze !== undefined) face.attention = source.live ? attention.judge(face.person, face.gaze, shot.seconds) : null;
  }
  const names = models().filter((name) => faces.every((face) => face.models[name]));
  if (!names.length) return; // the models were changed while this picture was on its way
  shown = { faces, size: [answer.width, answer.height] };
  paint();
  people.show(faces, names);
  const length = { photo: null, camera: 0, video: at("video").duration }[source.kind];
  timeline.add(source.name, frames++, shot.seconds, faces, names, length === null || Number.isFinite(length) ? length : 0);
  if (source.live) showPace(milliseconds);
  speak(faces, names);
}

function paint() {
  drawOverlay(at("overlay"), shown.faces, shown.size, { mirrored: Boolean(source?.mirrored), model: models()[0], colours: settings.colours });
}

function showPace(milliseconds) {
  const now = performance.now();
  pace = [...pace.filter(([then]) => now - then < 2000), [now, milliseconds]];
  if (pace.length < 3) return;
  const rate = (pace.length - 1) / (now - pace[0][0]) * 1000;
  const typical = pace.map(([, each]) => each).sort((a, b) => a - b)[Math.floor(pace.length / 2)];
  at("pace").textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} pictures/s · ${Math.round(typical)} ms`;
  at("pace").hidden = false;
}

/** Tell a screen reader what changed, not more often than one can listen. */
function speak(faces, names) {
  const text = faces.length
    ? faces.map((face) => `${faces.length > 1 ? `Person ${face.person}: ` : ""}${best(face.models[names[0]])[0]}`).join(", ")
    : "No face";
  if (text === spokenText || performance.now() - spokenAt < SPEAK_EVERY) return;
  spokenAt = performance.now();
  spokenText = text;
  at("spoken").textContent = text;
}

/** End what runs; the timeline stays. */
function stop() {
  running++;
  source?.close();
  source = null;
  pace = [];
  shown = { faces: [], size: [0, 0] };
  spokenText = "";
  for (const id of ["video", "photo", "pace", "pause"]) at(id).hidden = true;
  at("empty").hidden = false;
  at("camera").textContent = "Start camera";
  at("camera").setAttribute("aria-pressed", "false");
  at("picture").style.aspectRatio = "";
  people.clear();
  paint();
}

/** Take a source into use: `open` gives it, `element` shows it. */
async function begin(open, element) {
  stop();
  timeline.clear();
  const run = running;
  say("");
  try {
    const opened = await open();
    if (run !== running) { opened.close(); return; }
    source = opened;
    tracker = new Tracker();
    attention = new Attention();
    frames = 0;
    at("empty").hidden = true;
    element.hidden = false;
    element.classList.toggle("mirrored", source.mirrored);
    const [width, height] = source.size();
    at("picture").style.aspectRatio = `${width} / ${height}`;
    if (source.kind === "camera") {
      at("camera").textContent = "Stop camera";
      at("camera").setAttribute("aria-pressed", "true");
      listCameras();
    }
    at("pause").hidden = source.kind !== "video";
    setPaused(false);
    await work(run);
  } catch (error) {
    if (run !== running) return;
    const { live } = source ?? {};
    if (live || !source) stop();
    say(error.answered || error.constructor === Error ? error.message : `The page failed: ${error.message}`);
  }
}

const startCamera = () => begin(() => openCamera(at("video"), at("device").value), at("video"));

function take(file) {
  if (!file) return;
  if (file.type.startsWith("video/")) begin(() => openVideo(at("video"), file), at("video"));
  else begin(() => openPhoto(at("photo"), file, settings.max_upload_mb * 1e6), at("photo"));
}

function setPaused(paused) {
  at("pause").setAttribute("aria-pressed", String(paused));
  at("pause").textContent = paused ? "Go on" : "Pause";
}

async function listCameras() {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((each) => each.kind === "videoinput");
  at("device").replaceChildren(...cameras.map((each, index) => new Option(each.label || `Camera ${index + 1}`, each.deviceId)));
  if (source?.device) at("device").value = source.device;
  at("device-label").hidden = cameras.length < 2;
}

/** Ask once more about a photo when another model is chosen; moving pictures change by themselves. */
function modelsChanged() {
  const own = settings.models.find((each) => each.name === at("model").value);
  at("about").textContent = own.note;
  if (source?.kind === "photo") lookAgain();
}

async function lookAgain() {
  const run = ++running;
  source.rewind();
  tracker = new Tracker();
  timeline.clear();
  frames = 0;
  try { await work(run); } catch (error) { if (run === running) say(error.message); }
}

function connect() {
  at("camera").addEventListener("click", () => (source?.kind === "camera" ? stop() : startCamera()));
  at("device").addEventListener("change", startCamera);
  at("choose").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => { take(at("file").files[0]); at("file").value = ""; });
  at("pause").addEventListener("click", () => {
    const video = at("video");
    setPaused(!video.paused);
    if (video.paused) video.play();
    else video.pause();
  });
  at("model").addEventListener("change", modelsChanged);
  at("other").addEventListener("change", modelsChanged);
  const over = (is) => at("picture").classList.toggle("over", is);
  addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
  addEventListener("drop", (event) => { event.preventDefault(); over(false); take(event.dataTransfer.files[0]); });
  addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  new ResizeObserver(paint).observe(at("overlay"));
}

async function start() {
  const response = await fetch("/models");
  settings = await response.json();
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  at("privacy").textContent = local
    ? "Nothing leaves this machine: pictures go from this page to the ganfer that runs on it, are read and forgotten."
    : `Pictures go from this page to ganfer on ${location.hostname} and nowhere else; they are read there and forgotten.`;
  const names = Object.keys(settings.colours);
  at("gallery").replaceChildren(...names.map((name) => Object.assign(new Image(), { src: `/emoji/${encodeURIComponent(name)}.png`, alt: "" })));
  at("legend").replaceChildren(...names.map((name) => {
    const entry = document.createElement("li");
    entry.style.setProperty("--tone", settings.colours[name]);
    entry.append(document.createElement("i"), name);
    return entry;
  }));
  at("model").replaceChildren(...settings.models.map(({ name }) => new Option(name, name)));
  at("other").replaceChildren(new Option("nothing", ""), ...settings.models.map(({ name }) => new Option(name, name)));
  at("other-label").hidden = settings.models.length < 2;
  const has = (name) => settings.models.some((each) => each.name === name);
  if (has("before") && has("after")) { at("model").value = "after"; at("other").value = "before"; }
  people = new People(at("cards"), at("nobody"), settings);
  const parts = { lanes: "lanes", tracks: "tracks", scrub: "scrub", reading: "reading", quiet: "quiet", table: "table", tableBox: "table-box", download: "download", clear: "clear" };
  timeline = new Timeline(Object.fromEntries(Object.entries(parts).map(([key, id]) => [key, at(id)])), settings);
  connect();
  modelsChanged();
  if (!cameraPossible()) { at("camera").disabled = true; say(NO_CAMERA_HERE); }
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => say(`The page could not start: ${error.message}`));
