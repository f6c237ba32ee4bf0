// Two ways to a server, one language: OpenAI Realtime events over a WebSocket or over WebRTC.
//
// A transport has: kind, send(event), feed(int16 frame), track(MediaStreamTrack | null), close(),
// largest (bytes of one message), and calls onevent(event), onsent(event) and onclose({code, reason}).

import { append } from "./wire.js";

const OPENING_MS = 8000; // to open a WebSocket, or for ICE and DTLS
const WAVERING_MS = 5000; // a WebRTC peer may be out of reach before it counts as gone
const UNSENT = 1 << 20; // bytes; more means that the network does not carry the microphone
const CHANNEL = "oai-events";

/** The server does not do what was asked for; `status` is HTTP's. */
export class Refused extends Error {
  constructor(status, message, after = null) {
    super(message);
    this.status = status;
    this.after = after; // seconds to wait
  }
}

/** Give the address of a route, beside the page whatever the prefix. */
export function address(route, { resume } = {}, base = document.baseURI) {
  const url = new URL(route, base);
  if (resume) url.searchParams.set("conversation", resume);
  return url;
}

class SocketTransport {
  kind = "websocket";
  largest = 15 << 20;
  onevent = () => {};
  onsent = () => {};
  onclose = () => {};

  constructor(socket) {
    this.socket = socket;
    socket.onmessage = ({ data }) => this.onevent(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.onclose({ code, reason });
  }

  send(event) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify(event));
    this.onsent(event);
  }

  /** Send a frame of the microphone; tell whether it went out. */
  feed(frame) {
    if (this.socket.bufferedAmount > UNSENT) return false;
    this.send(append(frame));
    return true;
  }

  track() {}

  close() {
    this.socket.onclose = null;
    this.socket.close(1000);
  }
}

/** Open a WebSocket. The key travels as a subprotocol: browsers cannot set headers here. */
export function openSocket({ key, resume }) {
  const url = address("v1/realtime", { resume });
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const protocols = ["realtime", ...(key ? [`openai-insecure-api-key.${key}`] : [])];
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, protocols);
    const fail = () => {
      clearTimeout(timer);
      socket.onopen = socket.onerror = socket.onclose = null;
      socket.close();
      reject(new Error("The server cannot be reached."));
    };
    const timer = setTimeout(fail, OPENING_MS);
    socket.onerror = socket.onclose = fail;
    socket.onopen = () => {
      clearTimeout(timer);
      socket.onerror = null;
      resolve(new SocketTransport(socket));
    };
  });
}

class PeerTransport {
  kind = "webrtc";
  onevent = () => {};
  onsent = () => {};
  onclose = () => {};

  constructor(peer, channel, sender, hangup) {
    Object.assign(this, { peer, channel, sender, hangup, gone: false });
    this.largest = peer.sctp?.maxMessageSize ?? 65536;
    channel.onmessage = ({ data }) => this.onevent(JSON.parse(data));
    channel.onclose = () => this.#lost("the data channel closed");
    peer.onconnectionstatechange = () => this.#watch();
  }

  #watch() {
    clearTimeout(this.wavering);
    const state = this.peer.connectionState;
    if (state === "failed" || state === "closed") this.#lost(`the connection is ${state}`);
    if (state === "disconnected") {
      this.wavering = setTimeout(() => this.#lost("out of reach"), WAVERING_MS);
    }
  }

  #lost(reason) {
    if (this.gone) return;
    this.close();
    this.onclose({ code: 1006, reason });
  }

  send(event) {
    if (this.channel.readyState !== "open") return;
    this.channel.send(JSON.stringify(event));
    this.onsent(event);
  }

  /** The browser itself sends the microphone's track. */
  feed() {
    return true;
  }

  track(track) {
    return this.sender.replaceTrack(track);
  }

  close() {
    if (this.gone) return;
    this.gone = true;
    clearTimeout(this.wavering);
    this.peer.close();
    this.hangup();
  }
}

function opened(peer, channel) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("WebRTC found no way through.")), OPENING_MS);
    const settle = (finish, value) => (clearTimeout(timer), finish(value));
    channel.onopen = () => settle(resolve);
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") settle(reject, new Error("WebRTC failed."));
    };
  });
}

/** Read the ICE servers that a server names in its Link headers (RFC 9725 4.4). */
export function iceServers(link) {
  return (link ?? "").split(/,\s*(?=<)/).flatMap((entry) => {
    const [, urls, rest] = /^<((?:stun|turns?):[^>]+)>(.*)$/i.exec(entry.trim()) ?? [];
    if (!urls || !/rel="?ice-server"?/i.test(rest)) return [];
    const value = (name) => new RegExp(`${name}="([^"]*)"`, "i").exec(rest)?.[1];
    const [username, credential] = [value("username"), value("credential")];
    return [{ urls, ...(username && { username }), ...(credential && { credential }) }];
  });
}

/** Open a WebRTC connection: an offer by POST, audio as a track, events on a data channel. */
export async function openPeer({ key, resume, track }) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  const url = address("v1/realtime/calls", { resume });
  const told = await fetch(url, { method: "OPTIONS", headers: authorization });
  const peer = new RTCPeerConnection({ iceServers: iceServers(told.headers.get("Link")) });
  try {
    const { sender } = peer.addTransceiver(track ?? "audio", { direction: "sendrecv" });
    const channel = peer.createDataChannel(CHANNEL);
    await peer.setLocalDescription();
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", ...authorization },
      body: peer.localDescription.sdp,
    });
    if (!answer.ok) throw await refusal(answer);
    const call = answer.headers.get("Location");
    const hangup = () => {
      if (!call) return;
      const gone = new URL(`${call}/hangup`, url);
      fetch(gone, { method: "POST", keepalive: true, headers: authorization }).catch(() => {});
    };
    const opening = opened(peer, channel);
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    await opening;
    return new PeerTransport(peer, channel, sender, hangup);
  } catch (error) {
    peer.close();
    throw error;
  }
}

async function refusal(answer) {
  const body = await answer.json().catch(() => ({}));
  const message = body.error?.message ?? body.message ?? answer.statusText;
  return new Refused(answer.status, message, Number(answer.headers.get("Retry-After")) || null);
}

/** Ask why a connection failed: browsers do not tell pages what a WebSocket was refused for. */
export async function diagnose({ key }) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  try {
    // An empty offer: who may not come in is told so before it is read.
    const call = { method: "POST", headers: { "Content-Type": "application/sdp", ...authorization } };
    const answer = await fetch(address("v1/realtime/calls"), call);
    if ([401, 403, 429, 503].includes(answer.status)) return await refusal(answer);
    return null;
  } catch {
    return new Error("The server cannot be reached.");
  }
}
