// Who is who from frame to frame, and scores smoothed over time. Kept in the page: the server remembers nothing.

const SMOOTH_SECONDS = 0.5;
const FORGET_SECONDS = 2;
const REACH = 1.2; // widths of the face that it may have moved

function overlap(a, b) {
  const width = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  return width * height / (a[2] * a[3] + b[2] * b[3] - width * height);
}

/** 0 for the same place, up to 2 at the end of the reach, Infinity beyond. */
function cost(track, box) {
  const apart = Math.hypot(track.box[0] + track.box[2] / 2 - box[0] - box[2] / 2, track.box[1] + track.box[3] / 2 - box[1] - box[3] / 2);
  const width = (track.box[2] + box[2]) / 2;
  const grown = Math.max(box[2] / track.box[2], track.box[2] / box[2]);
  if (apart > REACH * width || grown > 2) return Infinity;
  return 1 - overlap(track.box, box) + apart / (REACH * width);
}

export class Tracker {
  constructor() { this.tracks = []; this.count = 0; this.last = -Infinity; }

  /** The faces of the frame at `seconds`, each with `person` and smoothed scores, people in the order they came. */
  update(faces, seconds, smooth) {
    if (seconds < this.last) this.tracks = []; // a video that was wound back
    const keep = Math.max(FORGET_SECONDS, 2.5 * (seconds - this.last)); // of a slow server, a person has one number
    this.last = seconds;
    this.tracks = this.tracks.filter((track) => seconds - track.seen <= keep);
    faces = [...faces].sort((a, b) => a.box[0] - b.box[0]); // newcomers are numbered from the left
    const pairs = [];
    faces.forEach((face, index) => this.tracks.forEach((track) => {
      const value = cost(track, face.box);
      if (value < Infinity) pairs.push({ value, index, track });
    }));
    pairs.sort((a, b) => a.value - b.value);
    const byFace = new Map();
    const used = new Set();
    for (const { index, track } of pairs) {
      if (byFace.has(index) || used.has(track)) continue;
      byFace.set(index, track);
      used.add(track);
    }
    return faces.map((face, index) => this.follow(face, byFace.get(index), seconds, smooth)).sort((a, b) => a.person - b.person);
  }

  follow(face, known, seconds, smooth) {
    let track = known;
    if (!track) {
      track = { person: ++this.count, models: {} };
      this.tracks.push(track);
    }
    const share = known && smooth ? 1 - Math.exp(-(seconds - track.seen) / SMOOTH_SECONDS) : 1;
    for (const [model, result] of Object.entries(face.models)) {
      const before = track.models[model];
      const scores = {};
      for (const [name, value] of Object.entries(result.scores)) {
        scores[name] = before ? before[name] + share * (value - before[name]) : value;
      }
      track.models[model] = scores;
    }
    track.box = face.box;
    track.seen = seconds;
    const models = Object.fromEntries(Object.keys(face.models).map((model) => [model, track.models[model]]));
    return { ...face, person: track.person, models };
  }
}

/** The most probable expression and its probability. */
export function best(scores) {
  return Object.entries(scores).reduce((a, b) => (b[1] > a[1] ? b : a));
}
