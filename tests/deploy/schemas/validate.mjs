// Resources of KEDA and of Prometheus' operator on standard input, as a JSON array; on standard output
// what is wrong with each, as an array of texts, empty where nothing is.
import { ScaledJob } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledJob'
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject'
import { PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor'
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule'

const kinds = { ScaledJob, ScaledObject, PodMonitor, PrometheusRule }
let text = ''
for await (const part of process.stdin) text += part
const found = JSON.parse(text).map((resource) => {
  try {
    const model = new kinds[resource.kind](resource)
    model.validate()
    return ''
  } catch (error) {
    return error.message
  }
})
process.stdout.write(JSON.stringify(found))
