import { sha256Label } from '../base/bytes.ts'
import { printDuration } from './duration.ts'
import type { Content, Hook, Mount, MountEntry, MountPlan, OnDenied } from './plan.ts'

/**
 * The one spelling of a plan: JSON, which is YAML too, so that {@link readPlan} reads it back.
 * Equal plans print alike.
 */
export function printPlan(plan: MountPlan): string {
  return `${JSON.stringify(plan.entries.map(printEntry))}\n`
}

/** `sha256:` and the digest of the plan's one spelling. */
export function planDigest(plan: MountPlan): string {
  return sha256Label(printPlan(plan))
}

function printEntry(entry: MountEntry): Record<string, unknown> {
  const { secret, content, path, mount, containers, mode, group, onChange, onDenied } = entry
  return {
    secret,
    ...printContent(content),
    path: content.kind === 'files' ? `${path}/` : path,
    ...printMount(mount),
    ...(containers && { containers }),
    ...(mode !== undefined && { mode: `0${mode.toString(8).padStart(3, '0')}` }),
    ...(group !== undefined && { group }),
    ...(onChange && { onChange: printHook(onChange) }),
    ...printOnDenied(onDenied),
  }
}

function printContent(content: Content): Record<string, unknown> {
  switch (content.kind) {
    case 'key':
      return { key: content.key }
    case 'files':
      return { format: 'files' }
    case 'encoded':
      return { format: content.format }
    case 'template':
      return { template: content.template }
  }
}

function printMount(mount: Mount): Record<string, unknown> {
  return mount.kind === 'directory'
    ? { mount: 'directory' }
    : { mount: 'file', update: mount.update }
}

function printHook(hook: Hook): Record<string, unknown> {
  switch (hook.kind) {
    case 'http':
      return { http: hook.url, method: hook.method }
    case 'touch':
      return { touch: hook.path }
    case 'signal':
      return { signal: hook.signal, process: hook.process }
  }
}

function printOnDenied(onDenied: OnDenied): Record<string, unknown> {
  return onDenied.kind === 'keep'
    ? { onDenied: 'keep' }
    : { onDenied: 'remove', grace: printDuration(onDenied.graceMs) }
}
