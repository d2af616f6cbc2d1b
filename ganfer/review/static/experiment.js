// The workspace's past: reports side by side, a GAN's samples as a film, a class in two batches.

import { byId, element, get, options, percent, start } from "./api.js";
import { Faces, REJECTED } from "./faces.js";

const SHEET = 60; // faces of a class shown per batch
const COLUMNS = 10;
const PACE = 500; // milliseconds per frame

function say(error) {
  byId("message").textContent = error.message ?? String(error);
}

function card(report) {
  const box = element("article", { class: "card" }, element("h3", { text: report.title ?? report.name }));
  box.append(element("p", { class: "soft", text: `${report.name}, ${report.finished}` }));
  if (report.error) {
    box.append(element("p", { text: report.error }));
    return box;
  }
  box.append(element("p", { class: "word", text: report.word }), element("p", { text: report.sentence }));
  const head = element("tr", {}, ...["Arm", "Balanced accuracy", "Accuracy"].map((text) => element("th", { text, scope: "col" })));
  const rows = report.arms.map((arm) => {
    const cells = ["balanced_accuracy", "accuracy"].map((name) => {
      const found = arm.figures[name];
      return element("td", { text: found ? `${percent(found[0])} (${percent(found[1])} to ${percent(found[2])})` : "–" });
    });
    return element("tr", {}, element("th", { text: arm.title, scope: "row" }), ...cells);
  });
  box.append(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
  if (report.review) {
    const { decided, added, removed, relabelled } = report.review;
    box.append(element("p", { class: "soft", text: `A person decided on ${decided} faces: ${added} added, ${removed} removed, ${relabelled} relabelled.` }));
  }
  return box;
}

async function reports() {
  const found = (await get("/api/reports")).reports;
  if (found.length) byId("reports").replaceChildren(...found.map(card));
  else byId("reports").replaceChildren(element("p", { class: "soft", text: "There is no report yet. Make one: ganfer retrain" }));
}

async function film() {
  const { films } = await get("/api/films");
  if (!films.length) return;
  byId("no-film").hidden = true;
  byId("film").hidden = false;
  options(byId("gan"), films.map((one) => [one.name, one.name]), films[0].name);
  let timer = 0;
  const one = () => films.find((film) => film.name === byId("gan").value);
  const address = (step) => `/api/films/${encodeURIComponent(one().name)}/${step}.png`;
  const show = () => {
    const { steps } = one();
    const step = steps[Number(byId("step").value)];
    byId("frame").src = address(step);
    byId("frame").alt = `Samples after ${step.toLocaleString("en")} steps`;
    byId("step").setAttribute("aria-valuetext", `step ${step.toLocaleString("en")}`);
    const next = steps[Number(byId("step").value) + 1];
    if (next !== undefined) new Image().src = address(next);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    byId("play").textContent = "Play";
    byId("play").setAttribute("aria-pressed", "false");
  };
  const load = () => {
    stop();
    byId("step").max = String(one().steps.length - 1);
    byId("step").value = byId("step").max;
    show();
  };
  byId("gan").addEventListener("change", load);
  byId("step").addEventListener("input", () => { stop(); show(); });
  byId("play").addEventListener("click", () => {
    if (timer) {
      stop();
      return;
    }
    const slider = byId("step");
    if (slider.value === slider.max) slider.value = "0";
    show();
    byId("play").textContent = "Stop";
    byId("play").setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      if (slider.value === slider.max) stop();
      else {
        slider.value = String(Number(slider.value) + 1);
        show();
      }
    }, PACE);
  });
  load();
}

async function sides(batches) {
  if (!batches.length) return;
  byId("no-sides").hidden = true;
  byId("sides-box").hidden = false;
  const walls = new Map();
  const wallOf = async (name) => {
    if (!walls.has(name)) {
      const path = `/api/wall/faces/${encodeURIComponent(name)}`;
      const wall = await get(path);
      walls.set(name, { path, version: wall.version, faces: new Faces(wall) });
    }
    return walls.get(name);
  };
  [0, 1].forEach((side) => options(byId(`batch-${side}`), batches.map((name) => [name, name]), batches[Math.min(side, batches.length - 1)]));
  const show = async (side) => {
    const { path, version, faces } = await wallOf(byId(`batch-${side}`).value);
    const cls = byId("class").value;
    const kept = byId("which").value === "kept";
    const index = faces.classes.indexOf(cls);
    faces.choose({ cls: String(index), kind: "", decided: "", order: kept ? "sure" : "doubt" });
    const used = (i) => (faces.decision[i] === -2 ? faces.kind[i] === 0 : faces.decision[i] !== REJECTED);
    const all = [...faces.shown].filter((i) => !kept || used(i));
    const shown = all.slice(0, SHEET);
    byId(`text-${side}`).textContent = `${shown.length} of ${all.length.toLocaleString("en")} ${kept ? "kept " : ""}faces of ${cls}`;
    const image = byId(`sheet-${side}`);
    image.hidden = !shown.length;
    image.alt = `${shown.length} faces of ${cls} from ${byId(`batch-${side}`).value}`;
    if (shown.length) image.src = `${path}/sheet?v=${version}&c=${Math.min(COLUMNS, shown.length)}&i=${shown.map((i) => i.toString(36)).join(".")}`;
    else image.removeAttribute("src");
  };
  const first = await wallOf(batches[0]);
  options(byId("class"), first.faces.classes.map((name) => [name, name]), first.faces.classes[0]);
  const both = () => Promise.all([show(0), show(1)]).catch(say);
  for (const id of ["class", "which", "batch-0", "batch-1"]) byId(id).addEventListener("change", both);
  await both();
}

async function main() {
  const about = await start();
  await Promise.all([reports(), film(), sides(about.faces)]);
  document.documentElement.dataset.ready = "true";
}

main().catch(say);
