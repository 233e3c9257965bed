import { createReadStream } from 'node:fs'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import { diskError } from '../../clients/disk.ts'

/**
 * The lines of a file of any size, without their line feeds; the last one may have had none. No more
 * than one line is held: one that is longer than `maxBytes` comes cut, one byte longer than that. A
 * file that is compressed (gzip, by its first bytes) is read as what it was.
 *
 * @throws `ERR_USAGE` when there is no such file; `ERR_IO`.
 */
export async function* readLines(path: string, maxBytes: number): AsyncGenerator<Uint8Array> {
  try {
    yield* splitLines(createReadStream(path), maxBytes)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') {
      throw new LatchkeyError('ERR_USAGE', `there is no file ${path}`)
    }
    throw diskError(error, path)
  }
}

/** As {@link readLines}, of an open stream. Throws what the stream throws. */
export async function* splitLines(stream: Readable, maxBytes: number): AsyncGenerator<Uint8Array> {
  let parts: Buffer[] = []
  let length = 0
  for await (const chunk of unzipped(stream)) {
    let begin = 0
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, begin)) {
      yield joined(parts, chunk.subarray(begin, end), maxBytes)
      parts = []
      length = 0
      begin = end + 1
    }
    // What goes beyond the bound of a line is let go, but for the byte that shows it.
    const rest = chunk.subarray(begin, begin + Math.max(0, maxBytes + 1 - length))
    if (rest.byteLength === 0) continue
    // A copy: a view would hold on to the whole chunk.
    parts.push(Buffer.from(rest))
    length += rest.byteLength
  }
  if (length > 0) yield joined(parts, Buffer.alloc(0), maxBytes)
}

function joined(parts: readonly Buffer[], last: Buffer, maxBytes: number): Buffer {
  const line = parts.length === 0 ? last : Buffer.concat([...parts, last])
  return line.byteLength > maxBytes ? line.subarray(0, maxBytes + 1) : line
}

async function* unzipped(stream: Readable): AsyncGenerator<Buffer> {
  const source = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  // What tells a compressed file are its first two bytes, which may come one at a time.
  let head = Buffer.alloc(0)
  while (head.byteLength < 2) {
    const next = await source.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  const whole = async function* (): AsyncGenerator<Buffer> {
    if (head.byteLength > 0) yield head
    yield* { [Symbol.asyncIterator]: () => source }
  }
  if (head[0] !== 0x1f || head[1] !== 0x8b) {
    yield* whole()
    return
  }
  const gunzip = createGunzip()
  // What goes wrong on the way comes out where the result is read.
  pipeline(Readable.from(whole()), gunzip, () => undefined)
  yield* gunzip as AsyncIterable<Buffer>
}
