// Boxes and labels over the picture.

import { best } from "./tracks.js";

/** Draw the faces. size: [width, height] of the picture the boxes are in; colours by expression. */
export function drawOverlay(canvas, faces, size, { mirrored, model, colours }) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  if (!size[0] || !size[1]) return;
  const zoom = Math.min(width / size[0], height / size[1]); // as object-fit: contain
  const left = (width - size[0] * zoom) / 2, top = (height - size[1] * zoom) / 2;
  const small = width < 480;
  context.font = `600 ${small ? 12 : 14}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const face of faces) {
    const [x, y, w, h] = face.box.map((side) => side * zoom);
    const at = left + (mirrored ? size[0] * zoom - x - w : x);
    const [name, value] = best(face.models[model]);
    box(context, at, top + y, w, h, colours[name]);
    const who = faces.length > 1 ? `${face.person} · ` : "";
    const whole = `${who}${name} ${Math.round(value * 100)}%`;
    const crowded = faces.length > 1 && context.measureText(whole).width > 1.3 * w;
    label(context, crowded ? `${who}${name}` : whole, at, top + y, width, colours[name], small);
  }
}

function box(context, x, y, width, height, colour) {
  context.lineWidth = 5;
  context.strokeStyle = "rgb(0 0 0 / .45)";
  context.beginPath();
  context.roundRect(x, y, width, height, 8);
  context.stroke();
  context.lineWidth = 3;
  context.strokeStyle = colour;
  context.stroke();
}

function label(context, text, x, y, limit, colour, small) {
  const height = small ? 20 : 24;
  const width = context.measureText(text).width + height * 0.8;
  const left = Math.max(2, Math.min(x - 1, limit - width - 2));
  const top = Math.max(2, y - height - 4);
  context.fillStyle = "rgb(12 15 17 / .86)";
  context.beginPath();
  context.roundRect(left, top, width, height, height / 2);
  context.fill();
  context.fillStyle = colour;
  context.beginPath();
  context.arc(left + height * 0.42, top + height / 2, height * 0.18, 0, 7);
  context.fill();
  context.fillStyle = "#fff";
  context.fillText(text, left + height * 0.72, top + height / 2 + 0.5, width);
}
