// All faces of a wall as columns: which are shown in which order, and what was decided on them.

export const NONE = -2; // no decision
export const REJECTED = -1;

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

export class Faces {
  constructor(wall) {
    Object.assign(this, { count: wall.count, classes: wall.classes, kinds: wall.kinds, lines: wall.lines });
    const { kind, asked, label, suggested, doubt } = wall.columns;
    this.kind = bytes(kind);
    [this.asked, this.label, this.suggested] = [asked, label, suggested].map((text) => new Int8Array(bytes(text).buffer));
    this.doubt = new Float32Array(bytes(doubt).buffer);
    this.decision = new Int8Array(this.count).fill(NONE);
    this.by = new Map();
    this.decided = 0;
    this.take(wall.decisions);
    this.shown = new Uint32Array();
  }

  // Decisions as the server gives them: [index, label or -1 or null, who].
  take(changes) {
    for (const [index, label, who] of changes) {
      const before = this.decision[index] !== NONE;
      this.decision[index] = label ?? NONE;
      if (label === null) this.by.delete(index);
      else this.by.set(index, who);
      this.decided += (label !== null) - before;
    }
  }

  forget() {
    this.decision.fill(NONE);
    this.by.clear();
    this.decided = 0;
  }

  labelOf(index) {
    const said = this.decision[index];
    return said >= 0 ? said : this.label[index];
  }

  choose({ cls, kind, decided, order }) {
    const wanted = [];
    for (let i = 0; i < this.count; i += 1) {
      const said = this.decision[i];
      if (cls !== "" && this.labelOf(i) !== Number(cls)) continue;
      if (kind !== "" && this.kind[i] !== Number(kind)) continue;
      if (decided === "open" && said !== NONE) continue;
      if (decided === "kept" && said < 0) continue;
      if (decided === "rejected" && said !== REJECTED) continue;
      wanted.push(i);
    }
    const { doubt } = this;
    const by = {
      doubt: (a, b) => doubt[b] - doubt[a] || a - b,
      sure: (a, b) => doubt[a] - doubt[b] || a - b,
      class: (a, b) => this.labelOf(a) - this.labelOf(b) || doubt[b] - doubt[a] || a - b,
    }[order];
    this.shown = Uint32Array.from(by ? wanted.sort(by) : wanted);
  }

  words(index, own) {
    const said = this.decision[index];
    const name = (k) => (k >= 0 ? this.classes[k] : "no class");
    const parts = [own.what(index, name), `doubt ${this.doubt[index].toFixed(2)}`];
    if (said === REJECTED) parts.push(`rejected by ${this.by.get(index)}`);
    else if (said >= 0) parts.push(`kept as ${name(said)} by ${this.by.get(index)}`);
    return parts.join(", ");
  }
}
