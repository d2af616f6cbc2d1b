// A long wall of thumbnails: only what is in sight is drawn, a canvas per band of rows, a sheet per canvas.

import { NONE, REJECTED } from "./faces.js";

const ROWS = 6; // rows of a band
const BEYOND = 1; // bands drawn before and after those in sight
const AT_ONCE = 4; // sheets asked for at the same time
const KEPT = 40; // sheets remembered

export class Grid {
  constructor(box, long, faces, path, version, tile, tones) {
    Object.assign(this, { box, long, faces, path, version, tile, tones });
    this.bands = new Map(); // number -> canvas
    this.sheets = new Map(); // what is on it -> image, the least lately used first
    this.loading = new Set();
    this.waiting = [];
    this.selected = new Set(); // places
    this.late = [];
    this.onScroll = () => this.see();
    box.addEventListener("scroll", this.onScroll, { passive: true });
    this.watch = new ResizeObserver(() => this.layOut());
    this.watch.observe(box);
    this.layOut();
  }

  end() {
    this.box.removeEventListener("scroll", this.onScroll);
    this.watch.disconnect();
    for (const canvas of this.bands.values()) canvas.remove();
    for (const image of this.sheets.values()) image.src = "";
  }

  layOut() {
    const wide = this.box.clientWidth;
    if (!wide) return;
    const first = this.columns ? this.firstInSight() : 0;
    const size = Math.max(this.tile[0], 48) + (wide > 700 ? 8 : 6);
    this.columns = Math.max(1, Math.floor(wide / size));
    this.cell = wide / this.columns;
    this.rows = Math.ceil(this.faces.shown.length / this.columns);
    this.long.style.height = `${this.rows * this.cell}px`;
    this.clear();
    this.box.scrollTop = Math.floor(first / this.columns) * this.cell;
    this.see();
    this.onLaidOut?.();
  }

  firstInSight() {
    return Math.floor(this.box.scrollTop / this.cell) * this.columns;
  }

  clear() {
    for (const canvas of this.bands.values()) canvas.remove();
    this.bands.clear();
    this.waiting = [];
  }

  see() {
    const high = ROWS * this.cell;
    const from = Math.max(0, Math.floor(this.box.scrollTop / high) - BEYOND);
    const last = Math.floor(Math.max(0, this.rows - 1) / ROWS);
    const to = Math.min(last, Math.floor((this.box.scrollTop + this.box.clientHeight) / high) + BEYOND);
    for (const [number, canvas] of this.bands) {
      if (number < from || number > to) {
        canvas.remove();
        this.bands.delete(number);
      }
    }
    this.waiting = this.waiting.filter((number) => number >= from && number <= to);
    if (!this.faces.shown.length) return;
    for (let number = from; number <= to; number += 1) if (!this.bands.has(number)) this.add(number);
  }

  places(number) {
    const start = number * ROWS * this.columns;
    return [start, Math.min(this.faces.shown.length, start + ROWS * this.columns)];
  }

  add(number) {
    const [start, stop] = this.places(number);
    const canvas = document.createElement("canvas");
    const rows = Math.ceil((stop - start) / this.columns);
    const sharp = Math.min(2, devicePixelRatio || 1);
    canvas.width = Math.round(this.columns * this.cell * sharp);
    canvas.height = Math.round(rows * this.cell * sharp);
    canvas.style.width = `${this.columns * this.cell}px`;
    canvas.style.height = `${rows * this.cell}px`;
    canvas.style.top = `${number * ROWS * this.cell}px`;
    this.bands.set(number, canvas);
    this.long.append(canvas);
    this.draw(number);
    if (!this.sheets.has(this.address(number))) {
      this.waiting.push(number);
      this.load();
    }
  }

  address(number) {
    const [start, stop] = this.places(number);
    const named = Array.from(this.faces.shown.subarray(start, stop), (i) => i.toString(36)).join(".");
    return `${this.path}/sheet?v=${this.version}&c=${this.columns}&i=${named}`;
  }

  load() {
    while (this.loading.size < AT_ONCE && this.waiting.length) {
      const number = this.waiting.pop(); // what came into sight last is looked at now
      if (!this.bands.has(number)) continue;
      const address = this.address(number);
      if (this.sheets.has(address) || this.loading.has(address)) continue;
      this.loading.add(address);
      const image = new Image();
      const asked = performance.now();
      const done = () => {
        this.loading.delete(address);
        this.load();
      };
      image.onload = () => {
        this.late.push(performance.now() - asked);
        if (this.late.length > 1000) this.late.shift();
        this.remember(address, image);
        done();
        if (this.bands.has(number) && this.address(number) === address) this.draw(number);
      };
      image.onerror = done;
      image.src = address;
    }
  }

  remember(address, image) {
    this.sheets.set(address, image);
    for (const old of this.sheets.keys()) {
      if (this.sheets.size <= KEPT) break;
      this.sheets.delete(old);
    }
  }

  draw(number) {
    const canvas = this.bands.get(number);
    if (!canvas) return;
    const pen = canvas.getContext("2d");
    const [start, stop] = this.places(number);
    const scale = canvas.width / (this.columns * this.cell);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.fillStyle = "#22282c";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    const image = this.sheets.get(this.address(number));
    const [width, height] = this.tile;
    for (let place = start; place < stop; place += 1) {
      const at = place - start;
      const x = (at % this.columns) * this.cell;
      const y = Math.floor(at / this.columns) * this.cell;
      const side = this.cell - 4;
      if (image) {
        const across = Math.min(this.columns, stop - start);
        pen.drawImage(image, (at % across) * width, Math.floor(at / across) * height, width, height, x + 2, y + 2, side, side);
      } else {
        pen.fillStyle = "#343c42";
        pen.fillRect(x + 2, y + 2, side, side);
      }
      this.mark(pen, this.faces.shown[place], place, x + 2, y + 2, side);
    }
  }

  // What is said of a face is said by shape, not by colour alone.
  mark(pen, index, place, x, y, side) {
    const said = this.faces.decision[index];
    const kind = this.faces.kind[index];
    if (kind > 0 && this.tones[kind]) {
      pen.fillStyle = this.tones[kind];
      pen.fillRect(x, y + side - 4, side, 4);
    }
    if (said === REJECTED) {
      pen.fillStyle = "rgb(20 10 5 / .55)";
      pen.fillRect(x, y, side, side);
      pen.strokeStyle = "#ff946e";
      pen.lineWidth = 3;
      pen.beginPath();
      pen.moveTo(x + 8, y + 8); pen.lineTo(x + side - 8, y + side - 8);
      pen.moveTo(x + side - 8, y + 8); pen.lineTo(x + 8, y + side - 8);
      pen.stroke();
    } else if (said !== NONE) {
      const changed = said !== this.faces.label[index];
      const text = changed ? this.faces.classes[said].slice(0, 7) : "✓";
      pen.font = "600 11px system-ui, sans-serif";
      const wide = Math.min(side, pen.measureText(text).width + 8);
      pen.fillStyle = changed ? "#0a61a6" : "#1c7c4a";
      pen.fillRect(x, y, wide, 15);
      pen.fillStyle = "#fff";
      pen.fillText(text, x + 4, y + 11.5, side - 8);
    }
    if (this.selected.has(place)) {
      pen.strokeStyle = "#7cc0ff";
      pen.lineWidth = 4;
      pen.strokeRect(x + 1, y + 1, side - 2, side - 2);
    }
  }

  redraw() {
    for (const number of this.bands.keys()) this.draw(number);
  }

  rectangle(place) {
    return [(place % this.columns) * this.cell, Math.floor(place / this.columns) * this.cell, this.cell];
  }

  placeAt(clientX, clientY) {
    const box = this.long.getBoundingClientRect();
    const column = Math.floor((clientX - box.left) / this.cell);
    const row = Math.floor((clientY - box.top) / this.cell);
    const place = row * this.columns + column;
    return column >= 0 && column < this.columns && row >= 0 && place < this.faces.shown.length ? place : null;
  }

  within(x1, y1, x2, y2) {
    const [left, right] = [x1, x2].sort((a, b) => a - b).map((x) => Math.floor(x / this.cell));
    const [top, bottom] = [y1, y2].sort((a, b) => a - b).map((y) => Math.floor(y / this.cell));
    const found = [];
    for (let row = Math.max(0, top); row <= Math.min(bottom, this.rows - 1); row += 1) {
      for (let column = Math.max(0, left); column <= Math.min(right, this.columns - 1); column += 1) {
        const place = row * this.columns + column;
        if (place < this.faces.shown.length) found.push(place);
      }
    }
    return found;
  }

  bringIntoSight(place) {
    const [, top, side] = this.rectangle(place);
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + side > scrollTop + clientHeight) this.box.scrollTop = top + side - clientHeight;
  }
}
