import { readPlan } from '../../injection/parse.ts'
import { knownAnnotations, secretsAnnotation } from '../../injection/names.ts'
import { readPodFacts } from '../../injection/pod/facts.ts'
import { placePlan } from '../../injection/pod/place.ts'
import { defaultOwnerSettings } from '../../injection/pod/settings.ts'
import type { Problem } from '../../injection/problem.ts'
import { findPods, secretsTextOf } from '../manifest/pods.ts'
import type { FoundAnnotation, ManifestPod, StrayAnnotation } from '../manifest/pods.ts'
import { lineInText, readManifest } from '../manifest/source.ts'

/** Something to put right in a manifest. */
export interface LintFinding {
  readonly line: number
  /** What is at fault: `entry 2, mode`, or the annotation's name. */
  readonly subject: string
  readonly problem: string
  readonly fix: string
}

/** What came of reading one file. */
export interface LintReport {
  readonly findings: readonly LintFinding[]
  /** What is legal but unwise. */
  readonly warnings: readonly { readonly line: number; readonly message: string }[]
  /** How many lists of secrets there were. */
  readonly lists: number
}

/** Checks every list of secrets in the text of a manifest file as the webhook would. */
export function lintText(text: string): LintReport {
  const { documents, problems } = readManifest(text)
  const contents = documents.map(findPods)
  const pods = contents.flatMap((content) => content.pods)
  const checked = pods.map(checkPod)
  const findings = [
    ...problems.map((problem) => ({ ...problem, subject: 'the file' })),
    ...contents.flatMap(({ strays }) => strays.map(strayFinding)),
    ...checked.flatMap((report) => report.findings),
  ]
  return {
    findings: findings.toSorted((a, b) => a.line - b.line),
    warnings: checked.flatMap((report) => report.warnings),
    lists: checked.reduce((sum, report) => sum + report.lists, 0),
  }
}

function checkPod(pod: ManifestPod): LintReport {
  const findings = pod.annotations.flatMap(nameFinding)
  const found = secretsTextOf(pod)
  if (found === 'none') return { findings, warnings: [], lists: 0 }
  const line = pod.annotations.find(({ name }) => name === secretsAnnotation)?.line ?? 1
  if (found === 'no text') {
    findings.push({
      line,
      subject: secretsAnnotation,
      problem: 'expected text, and annotations hold nothing else',
      fix: `write "${secretsAnnotation}: |" and the list below it, indented`,
    })
    return { findings, warnings: [], lists: 1 }
  }
  const locate = (problem: Problem): LintFinding => ({
    line: lineInText(pod.document, found.scalar, problem.place.line),
    subject: subjectOf(problem),
    problem: problem.problem,
    fix: problem.fix,
  })
  const reading = readPlan(found.text)
  if (reading.kind === 'problems') {
    findings.push(...reading.problems.map(locate))
    return { findings, warnings: [], lists: 1 }
  }
  if (!pod.isWhole) return { findings, warnings: [], lists: 1 }
  const result = placePlan(reading, readPodFacts(pod.pod), defaultOwnerSettings)
  if (result.kind === 'problems') {
    findings.push(...result.problems.map(locate))
    return { findings, warnings: [], lists: 1 }
  }
  const warnings = result.placement.warnings.map((message) => ({ line, message }))
  return { findings, warnings, lists: 1 }
}

function subjectOf({ entry, field }: Problem): string {
  if (entry === undefined) return secretsAnnotation
  return [`entry ${entry + 1}`, field].filter((part) => part !== undefined).join(', ')
}

function nameFinding({ name, line }: FoundAnnotation): LintFinding[] {
  if (name === secretsAnnotation) return []
  const finding = knownAnnotations.includes(name)
    ? { problem: 'is written by the webhook when the pod is admitted', fix: 'remove it' }
    : { problem: 'is no annotation of Latchkey', fix: `write ${secretsAnnotation}` }
  return [{ line, subject: name, ...finding }]
}

/** Where the pod template of a kind is. */
const templates: Readonly<Record<string, string>> = {
  CronJob: 'spec.jobTemplate.spec.template',
  PodTemplate: 'template',
}
const templated = new Set([
  ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job'],
])

function strayFinding({ owner, kind, annotation }: StrayAnnotation): LintFinding {
  const template = templates[kind] ?? (templated.has(kind) ? 'spec.template' : undefined)
  return {
    line: annotation.line,
    subject: annotation.name,
    problem: `is on ${owner} itself, where nothing reads it`,
    fix:
      template === undefined
        ? 'write it on a pod, or on the pod template of a workload'
        : `move it to ${template}.metadata.annotations`,
  }
}
