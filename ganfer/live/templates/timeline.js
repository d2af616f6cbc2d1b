(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [scrub, clock, said, face, cursor, video, lanes] = ["scrub", "clock", "said", "face", "cursor", "video", "lanes"].map(byId);
  const rows = [...document.querySelectorAll("#bars div")];
  const percent = (value) => `${Math.round(100 * value)}%`;
  const written = (seconds) => {
    const whole = Math.floor(seconds), two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600), rest = `${Math.floor(whole / 60) % 60}:${two(whole % 60)}`;
    return hours ? `${hours}:${rest.padStart(5, "0")}` : rest;
  };
  const show = (seconds) => {
    const at = Math.max(0, Math.min(data.bins - 1, Math.floor(seconds / data.seconds)));
    const scores = data.scores[at];
    clock.value = written(seconds);
    cursor.style.left = `${100 * seconds / data.span}%`;
    scrub.setAttribute("aria-valuetext", written(seconds));
    rows.forEach((row, i) => {
      const value = scores ? scores[i] : 0;
      row.querySelector("i").style.width = percent(value);
      row.querySelector(".n").textContent = scores ? percent(value) : "";
    });
    const top = scores ? scores.indexOf(Math.max(...scores)) : -1;
    face.style.opacity = top < 0 ? 0.15 : 1;
    face.src = data.emoji[Math.max(0, top)];
    const parts = [];
    if (data.attending[at] !== null) parts.push(`${percent(data.attending[at])} attending`);
    parts.push(top < 0 ? "no face" : `mostly ${data.names[top]}`);
    said.textContent = parts.join(", ");
  };
  const go = (seconds) => {
    scrub.value = seconds;
    show(Number(scrub.value));
    if (!video.hidden && Number.isFinite(video.duration)) video.currentTime = Math.min(seconds, video.duration);
  };
  scrub.addEventListener("input", () => go(Number(scrub.value)));
  document.querySelectorAll("[data-at]").forEach((button) => button.addEventListener("click", (event) => {
    event.stopPropagation();
    go(Number(button.dataset.at));
  }));
  const pointed = (event) => {
    const box = cursor.parentElement.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    if (share >= -0.02 && share <= 1.02) go(Math.max(0, Math.min(data.duration, share * data.span)));
  };
  let held = false;
  lanes.addEventListener("pointerdown", (event) => { if (!event.target.closest("button")) { held = true; pointed(event); } });
  addEventListener("pointermove", (event) => { if (held) pointed(event); });
  addEventListener("pointerup", () => { held = false; });
  byId("file").addEventListener("change", (event) => {
    const file = event.target.files[0];
    if (!file) return;
    if (video.src) URL.revokeObjectURL(video.src);
    video.src = URL.createObjectURL(file);
    video.hidden = false;
  });
  video.addEventListener("timeupdate", () => { scrub.value = video.currentTime; show(Number(scrub.value)); });
  show(0);
})();
