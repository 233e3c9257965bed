import test from 'ava'
import { librariesIn, sharedLibraries } from '../../../scripts/image/shared-libraries.ts'

const listing = `\tlinux-vdso.so.1 (0x00007f3753f3e000)
\tlibstdc++.so.6 => /lib/x86_64-linux-gnu/libstdc++.so.6 (0x00007f3753c00000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f3753a1e000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f3753f40000)
`

test('what ldd lists, without what the kernel brings', (t) => {
  t.deepEqual(librariesIn(listing), [
    '/lib/x86_64-linux-gnu/libstdc++.so.6',
    '/lib/x86_64-linux-gnu/libc.so.6',
    '/lib64/ld-linux-x86-64.so.2',
  ])
})

test('a library that is missing is named', (t) => {
  t.throws(() => librariesIn(`${listing}\tlibodd.so.1 => not found\n`), {
    message: /no libodd\.so\.1/,
  })
})

test('Node.js itself needs a C library', async (t) => {
  const found = await sharedLibraries([process.execPath])
  t.true(found.some((path) => path.includes('/libc.')))
  t.deepEqual(found, [...found].sort())
})
