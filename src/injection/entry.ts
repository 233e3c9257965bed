import { readContent } from './content.ts'
import { readGrace } from './duration.ts'
import { readChoice, readContainers, readGroup, readSecret, shortened } from './fields.ts'
import type { ReadField, Report } from './fields.ts'
import { readHook } from './hooks.ts'
import { readMode } from './mode.ts'
import { hidesImage, parentOf, readPath } from './paths.ts'
import type { WrittenPath } from './paths.ts'
import type { Content, Mount, MountEntry, OnDenied } from './plan.ts'
import type { Problem } from './problem.ts'
import { nounOf } from './tree.ts'
import type { MapNode, Place, Tree } from './tree.ts'

/** Every field that an entry may have. */
export const fieldNames = [
  'secret',
  'key',
  'path',
  'format',
  'template',
  'mount',
  'update',
  'containers',
  'mode',
  'group',
  'onChange',
  'onDenied',
  'grace',
] as const
type FieldName = (typeof fieldNames)[number]

/** Where the fields of an entry stood, for errors that only a later check can find. */
export interface EntryPlaces {
  readonly entry: Place
  readonly fields: ReadonlyMap<string, Place>
}

/** Reads one entry. Everything that is wrong with it is added to `problems`. */
export function readEntry(
  node: Tree,
  index: number,
  problems: Problem[],
): { readonly entry: MountEntry; readonly places: EntryPlaces } | undefined {
  const before = problems.length
  const reportAt =
    (field: string | undefined): Report =>
    (at, finding) => {
      problems.push({ place: at.place, entry: index, field, ...finding })
    }
  if (node.kind !== 'map') {
    reportAt(undefined)(node, {
      problem: `expected a mapping, got ${nounOf(node)}`,
      fix: 'write "- secret: NAME" and the other fields below it',
    })
    return undefined
  }
  const fields = collectFields(node, reportAt)
  const read = <T>(name: FieldName, reader: ReadField<T>): T | undefined => {
    const value = fields.get(name)
    return value === undefined ? undefined : reader(value, reportAt(name))
  }
  requireField(node, fields, 'secret', reportAt)
  requireField(node, fields, 'path', reportAt)
  const secret = read('secret', readSecret)
  const path = read('path', readPath)
  const content = path === undefined ? undefined : readContentOf(node, path, fields, reportAt)
  const mount = readMount(node, fields, reportAt)
  const containers = read('containers', readContainers)
  const mode = read('mode', readMode)
  const group = read('group', readGroup)
  const hook = fields.get('onChange')
  const onChange = hook === undefined ? undefined : readHook(hook, hookReporter(reportAt))
  const onDenied = readOnDenied(fields, reportAt)
  if (path !== undefined && content !== undefined && mount !== undefined) {
    checkMount(fields.get('path') ?? node, { path, content, mount }, reportAt)
  }
  if (group !== undefined && mode !== undefined && (mode & 0o040) === 0) {
    reportAt('group')(fields.get('group') ?? node, {
      problem: 'has no use: the mode gives the group nothing',
      fix: 'write mode: "0440", or remove group',
    })
  }
  if (problems.length > before) return undefined
  if (!secret || !path || !content || !mount || !onDenied) return undefined
  const places = new Map(node.fields.map((field) => [field.name, field.value.place]))
  const entry = {
    secret,
    content,
    path: path.path,
    mount,
    containers,
    mode,
    group,
    onChange,
    onDenied,
  }
  return { entry, places: { entry: node.place, fields: places } }
}

type ReportAt = (field: string | undefined) => Report
type Fields = ReadonlyMap<string, Tree>

function hookReporter(reportAt: ReportAt): ReportAt {
  return (field) => reportAt(field === undefined ? 'onChange' : `onChange.${field}`)
}

function collectFields(node: MapNode, reportAt: ReportAt): Fields {
  const fields = new Map<string, Tree>()
  for (const { name, place, value } of node.fields) {
    const at = { ...node, place }
    if (!fieldNames.some((known) => known === name)) {
      reportAt(shortened(name))(at, { problem: 'is not a field', fix: suggestField(name) })
    } else if (fields.has(name)) {
      reportAt(name)(at, { problem: 'is given twice', fix: 'remove one of the two' })
    } else {
      fields.set(name, value)
    }
  }
  return fields
}

/** Names that people bring from other systems, or misspell. */
const otherNames: Readonly<Record<string, FieldName>> = {
  name: 'secret',
  secretname: 'secret',
  file: 'path',
  mountpath: 'path',
  target: 'path',
  destination: 'path',
  container: 'containers',
  perms: 'mode',
  permissions: 'mode',
  defaultmode: 'mode',
  gid: 'group',
  fsgroup: 'group',
  command: 'onChange',
  hook: 'onChange',
  type: 'format',
}

function suggestField(name: string): string {
  const lower = name.toLowerCase().replaceAll(/[-_]/g, '')
  const known = fieldNames.find((field) => field.toLowerCase() === lower)
  const meant = known ?? (Object.hasOwn(otherNames, lower) ? otherNames[lower] : undefined)
  return meant === undefined
    ? `remove it; the fields are ${fieldNames.join(', ')}`
    : `write ${meant}`
}

function requireField(node: MapNode, fields: Fields, name: FieldName, reportAt: ReportAt): void {
  if (fields.has(name)) return
  const example = name === 'secret' ? 'secret: NAME' : 'path: /etc/app/NAME'
  reportAt(name)(node, { problem: 'is missing', fix: `add ${example}` })
}

function readContentOf(
  entry: MapNode,
  path: WrittenPath,
  fields: Fields,
  reportAt: ReportAt,
): Content | undefined {
  const fallback = fields.get('path') ?? entry
  const [key, format, template] = [fields.get('key'), fields.get('format'), fields.get('template')]
  return readContent({ path, key, format, template, fallback }, reportAt)
}

function readMount(node: MapNode, fields: Fields, reportAt: ReportAt): Mount | undefined {
  const [mount, update] = [fields.get('mount'), fields.get('update')]
  const choice =
    mount === undefined ? 'directory' : readChoice(mount, ['directory', 'file'], reportAt('mount'))
  if (choice === undefined) return undefined
  if (choice === 'directory') {
    if (update === undefined) return { kind: 'directory' }
    reportAt('update')(update, {
      problem: 'belongs to mount: file; a directory is always updated, atomically',
      fix: 'remove it, or add mount: file',
    })
    return undefined
  }
  if (update === undefined) {
    reportAt('update')(mount ?? node, {
      problem: 'is missing: a bound file cannot be replaced, so say what a new value does',
      fix: 'add update: in-place (not atomic) or update: restart (the pod keeps what it started with)',
    })
    return undefined
  }
  const chosen = readChoice(update, ['in-place', 'restart'], reportAt('update'))
  return chosen === undefined ? undefined : { kind: 'file', update: chosen }
}

function readOnDenied(fields: Fields, reportAt: ReportAt): OnDenied | undefined {
  const [action, grace] = [fields.get('onDenied'), fields.get('grace')]
  const kind =
    action === undefined ? 'remove' : readChoice(action, ['remove', 'keep'], reportAt('onDenied'))
  if (kind === undefined) return undefined
  if (kind === 'remove') {
    const graceMs = grace === undefined ? 0 : readGrace(grace, reportAt('grace'))
    return graceMs === undefined ? undefined : { kind, graceMs }
  }
  if (grace === undefined) return { kind }
  reportAt('grace')(grace, {
    problem: 'has no use with onDenied: keep',
    fix: 'remove it, or write onDenied: remove',
  })
  return undefined
}

function checkMount(
  at: Tree,
  entry: { readonly path: WrittenPath; readonly content: Content; readonly mount: Mount },
  reportAt: ReportAt,
): void {
  const { path, content, mount } = entry
  const report = reportAt('path')
  if (mount.kind === 'file') {
    if (content.kind !== 'files') return
    report(at, {
      problem: 'names a directory, but mount: file binds one file',
      fix: 'name one key and its file, or remove mount',
    })
    return
  }
  const directory = content.kind === 'files' ? path.path : parentOf(path.path)
  if (!hidesImage(directory)) return
  report(at, {
    problem: `would hide what the image has in ${directory}`,
    fix: `choose a directory of its own, such as ${directory === '/' ? '' : directory}/secrets/${
      content.kind === 'files' ? '' : 'NAME'
    }${content.kind === 'files' ? '' : ', or add mount: file'}`,
  })
}
