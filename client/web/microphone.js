// The microphone: frames for the picture, the memory and the WebSocket, the track for WebRTC.

/** Say why there can be no microphone at all here, or nothing. */
export function obstacle(scope = globalThis) {
  if (!scope.isSecureContext) {
    return (
      "Browsers give the microphone only to pages on https or on localhost. " +
      "Open this page through https, or on the machine that serves it. Writing and files work here."
    );
  }
  if (!scope.navigator?.mediaDevices?.getUserMedia || !scope.AudioWorkletNode) {
    return "This browser offers no microphone to pages. Writing and files work here.";
  }
  return null;
}

/** Put the browser's refusal into words. */
export function explain(error) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return (
        "The microphone is not allowed for this page. Allow it beside the address (the icon " +
        "left of it), then press the button again. Writing and files work without it."
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return "No microphone was found. Connect one, then press the button again.";
    case "NotReadableError":
    case "AbortError":
      return "The microphone is in use by another program, or could not be started.";
    default:
      return `The microphone could not be started (${error?.message ?? error}).`;
  }
}

/** One microphone; `onframe(int16)` gets 20 ms at a time while it is open. */
export class Microphone {
  constructor(context, onframe, onend) {
    this.context = context; // () => AudioContext, made on a press: browsers keep it silent before
    this.onframe = onframe;
    this.onend = onend; // it was unplugged, or the permission taken back
    this.stream = null;
  }

  get open() {
    return this.stream !== null;
  }

  get track() {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  /** Ask for it (`microphone`: a deviceId, or empty); throws what getUserMedia throws. */
  async start({ cleaned, microphone }) {
    if (this.open) return;
    const audio = {
      channelCount: 1,
      echoCancellation: true, // or reading aloud would interrupt itself
      autoGainControl: true,
      noiseSuppression: cleaned, // off: the model hears sounds, too, not only speech
      ...(microphone && { deviceId: microphone }), // another one, where that is not connected
    };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const context = this.context();
    await context.resume();
    this.ready ??= context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
    await this.ready;
    this.stream = stream;
    this.source = context.createMediaStreamSource(stream);
    this.recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    this.recorder.port.onmessage = ({ data }) => this.open && this.onframe(data);
    this.source.connect(this.recorder);
    this.track.onended = () => {
      this.stop();
      this.onend();
    };
  }

  /** Let go of it; the browser's recording sign goes out. */
  stop() {
    if (!this.open) return;
    this.source.disconnect();
    this.recorder.port.onmessage = null;
    for (const track of this.stream.getTracks()) {
      track.onended = null;
      track.stop();
    }
    this.stream = null;
  }
}
