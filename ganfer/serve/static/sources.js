// Where pictures come from: the camera, a video, a photo. Each gives shots to analyse, and shows itself on the stage.

const LONGEST = 640; // pixels of a frame's longer side that are sent; the detector looks no closer at moving pictures
const QUALITY = 0.9;

/** A frame of a playing <video> as JPEG, at most LONGEST pixels long. */
async function grab(video, canvas) {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.max(1, Math.round(video.videoWidth * scale));
  canvas.height = Math.max(1, Math.round(video.videoHeight * scale));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

/** Resolves when the video shows another picture, or after a quarter of a second without one. */
function nextFrame(video) {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, 250);
    const done = () => { clearTimeout(late); resolve(); };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
    else requestAnimationFrame(done);
  });
}

/** What the camera's refusals mean, and what to do. */
function cameraTrouble(error) {
  if (error.name === "NotAllowedError") return "The camera was not allowed. Allow it in the browser's address bar, then start again.";
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") return "There is no camera. Plug one in, or choose a photo or video.";
  if (error.name === "NotReadableError") return "Another program holds the camera. Close it, then start again.";
  return `The camera does not start (${error.name}).`;
}

export const cameraPossible = () => Boolean(navigator.mediaDevices?.getUserMedia);

export const NO_CAMERA_HERE = "Browsers give the camera only to pages on this machine or over https. " +
  "Choose a photo or video, or start ganfer serve with --certificate and --key.";

export async function openCamera(video, deviceId) {
  if (!cameraPossible()) throw new Error(NO_CAMERA_HERE);
  const wanted = { width: { ideal: LONGEST }, height: { ideal: 480 } };
  if (deviceId) wanted.deviceId = { exact: deviceId };
  else wanted.facingMode = "user";
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    throw new Error(cameraTrouble(error));
  }
  video.srcObject = stream;
  await video.play();
  const canvas = document.createElement("canvas");
  const began = performance.now();
  const track = stream.getVideoTracks()[0];
  let unplugged = false;
  track.addEventListener("ended", () => { unplugged = true; });
  return {
    kind: "camera", name: "camera", live: true, mirrored: track.getSettings().facingMode !== "environment",
    device: track.getSettings().deviceId,
    size: () => [video.videoWidth, video.videoHeight],
    async shot() {
      await nextFrame(video);
      if (unplugged) throw new Error("The camera stopped; it may have been unplugged. Start it again.");
      const seconds = (performance.now() - began) / 1000;
      return { blob: await grab(video, canvas), seconds };
    },
    close() { stream.getTracks().forEach((each) => each.stop()); video.srcObject = null; },
  };
}

export async function openVideo(video, file) {
  const url = URL.createObjectURL(file);
  video.src = url;
  try {
    await video.play();
  } catch {
    URL.revokeObjectURL(url);
    video.removeAttribute("src");
    throw new Error(`${file.name} is no video this browser plays. Convert it to MP4 (H.264) or WebM.`);
  }
  const canvas = document.createElement("canvas");
  return {
    kind: "video", name: file.name, live: true, mirrored: false,
    size: () => [video.videoWidth, video.videoHeight],
    async shot() {
      if (video.ended) return null;
      await nextFrame(video);
      return { blob: await grab(video, canvas), seconds: video.currentTime };
    },
    close() { video.pause(); video.removeAttribute("src"); video.load(); URL.revokeObjectURL(url); },
  };
}

export async function openPhoto(image, file, maxBytes) {
  const url = URL.createObjectURL(file);
  image.src = url;
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(url);
    image.removeAttribute("src");
    throw new Error(`${file.name} is no picture this browser shows. Save it as JPEG or PNG.`);
  }
  const blob = file.size <= maxBytes ? file : await smaller(image);
  let taken = false;
  return {
    kind: "photo", name: file.name, live: false, mirrored: false,
    size: () => [image.naturalWidth, image.naturalHeight],
    async shot() {
      if (taken) return null;
      taken = true;
      return { blob, seconds: 0 };
    },
    rewind() { taken = false; },
    close() { image.removeAttribute("src"); URL.revokeObjectURL(url); },
  };
}

/** A picture that is too large to send, as a JPEG of 2048 pixels. */
async function smaller(image) {
  const scale = Math.min(1, 2048 / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(image.naturalWidth * scale);
  canvas.height = Math.round(image.naturalHeight * scale);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}
