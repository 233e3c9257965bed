import * as esbuild from 'esbuild'
import type { Metafile, Plugin } from 'esbuild'
import { readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { oldestNode, type Program } from './programs.ts'

/**
 * Bundles each program, with everything it imports, into one module `lib/NAME.mjs`.
 *
 * @remarks
 * Not minified: it would save the plugin 8 ms of 135 at start and 1.5 of 27 MB, and cost readable
 * stack traces. Not split: reading one file beats finding twenty, and what a command imports late
 * is evaluated late all the same.
 */
export async function bundle(
  programs: readonly Program[],
  options: { readonly project: string; readonly out: string },
): Promise<Metafile> {
  const { metafile } = await esbuild.build({
    absWorkingDir: options.project,
    entryPoints: Object.fromEntries(programs.map(({ name, source }) => [name, source])),
    outdir: join(options.out, 'lib'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: `node${oldestNode.join('.')}`,
    // CommonJS libraries ask for Node's own modules with require().
    banner: {
      js: [
        "import { createRequire as latchkeyCreateRequire } from 'node:module'",
        'const require = latchkeyCreateRequire(import.meta.url)',
      ].join('\n'),
    },
    // Licences are in THIRD_PARTY_LICENSES, whole.
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    plugins: [ownPaths(options.project)],
  })
  return metafile
}

/**
 * Our sources find the files beside them, such as `proto/`, from `import.meta.dirname`. A bundle
 * lies elsewhere, so there it becomes the place that the source would have in the release, where
 * `proto/` is in the same relation to it as in the project.
 */
function ownPaths(project: string): Plugin {
  return {
    name: 'own-paths',
    setup: (build) => {
      build.onLoad({ filter: /\/(?:src|cmd)\/.*\.ts$/ }, async ({ path }) => {
        const source = relative(project, path)
        if (!/^(?:src|cmd)\//.test(source)) return undefined
        const text = await readFile(path, 'utf8')
        if (/\bimport\.meta\.(?:url|filename|resolve)\b/.test(text)) {
          throw new Error(`${source}: of import.meta only dirname survives bundling`)
        }
        const room = JSON.stringify(`/../${dirname(source)}`)
        const contents = text.replaceAll(
          /\bimport\.meta\.dirname\b/g,
          `(import.meta.dirname + ${room})`,
        )
        return { contents, loader: 'ts' }
      })
    },
  }
}
