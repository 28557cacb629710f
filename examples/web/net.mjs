/* net.mjs: a network that effnetc compiled with --target=wasm32 --input=u8-rgb-any --name net, run by a browser or
 * Node.js. */

const ALIGN = 64; // of weights and the arena
const PAGE = 65536; // of WebAssembly's memory

const PICTURE_BYTES = 16; // net_picture of net.h: pixels, width, height, bytes a row

/* Gives out the module's memory behind what its compiler has there. */
class Memory {
    constructor(exports) {
        this.memory = exports.memory;
        this.end = exports.__heap_base.value;
    }

    /* The address of so many bytes. */
    take(bytes) {
        const at = Math.ceil(this.end / ALIGN) * ALIGN;
        this.end = at + bytes;
        this.reach(this.end);
        return at;
    }

    reach(end) {
        const more = end - this.memory.buffer.byteLength;
        if (more > 0) this.memory.grow(Math.ceil(more / PAGE));
    }

    /* Growing makes views old: they are not kept. */
    bytes(at, length) {
        return new Uint8Array(this.memory.buffer, at, length);
    }
}

export class Net {
    /* code and weights are the bytes of net.wasm and net.weights.bin, about is net.json. */
    static async load(code, weights, about) {
        const { instance } = await WebAssembly.instantiate(code, {});
        return new Net(instance.exports, new Uint8Array(weights), about);
    }

    constructor(exports, weights, about) {
        const memory = new Memory(exports);
        this.exports = exports;
        this.memory = memory;
        this.weights = memory.take(weights.length);
        memory.bytes(this.weights, weights.length).set(weights);
        const wrong = exports.net_check_weights(this.weights, weights.length);
        if (wrong) throw new Error(`net.weights.bin is not of this net.wasm (${wrong}: see net.h)`);
        this.outputs = about.outputs.map((t) => ({ at: memory.take(4 * t.elements), elements: t.elements }));
        this.arena = memory.take(about.pictures.arena.bytes);
        this.picture = memory.take(PICTURE_BYTES);
        this.pixels = memory.take(0); // what is behind is the picture's, of whatever size
    }

    /* A picture as a canvas has it (ImageData): its outputs, a Float32Array each. */
    run({ data, width, height }) {
        const { memory, picture, pixels } = this;
        memory.reach(pixels + 3 * width * height);
        const rgb = memory.bytes(pixels, 3 * width * height);
        for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
            rgb[to] = data[from];
            rgb[to + 1] = data[from + 1];
            rgb[to + 2] = data[from + 2];
        }
        new Int32Array(memory.memory.buffer, picture, 4).set([pixels, width, height, 3 * width]);
        const outputs = this.outputs.map((o) => o.at);
        const wrong = this.exports.net_run_picture(this.weights, picture, ...outputs, this.arena, 0);
        if (wrong) throw new Error(`net_run_picture returned ${wrong}: see net.h`);
        return this.outputs.map((o) => new Float32Array(memory.memory.buffer, o.at, o.elements).slice());
    }
}

/* The n best of some logits: [{class, probability}]. */
export function best(logits, n) {
    const most = logits.reduce((a, b) => Math.max(a, b));
    const sum = logits.reduce((total, x) => total + Math.exp(x - most), 0);
    const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a]);
    return order.slice(0, n).map((i) => ({ class: i, probability: Math.exp(logits[i] - most) / sum }));
}
