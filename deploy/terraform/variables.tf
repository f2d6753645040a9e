variable "project_id" {
  description = "The Google Cloud project, which must exist and have billing (the Blaze plan)."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project's id has 6 to 30 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "database_region" {
  description = "Where the Realtime Database lies: us-central1, europe-west1 or asia-southeast1."
  type        = string

  validation {
    condition     = contains(["us-central1", "europe-west1", "asia-southeast1"], var.database_region)
    error_message = "The Realtime Database is offered in us-central1, europe-west1 and asia-southeast1."
  }
}

variable "bucket" {
  description = "Name of the bucket of the narrations, which is made."
  type        = string
}

variable "bucket_location" {
  description = "Where the bucket lies: a region near the workers and the listeners, or EU, US, ASIA."
  type        = string
}


variable "origins" {
  description = "Origins of web pages that fetch audio by script, such as https://books.example.org. An <audio> element needs none."
  type        = list(string)
  default     = []
}

variable "workload_identity" {
  description = "The Kubernetes service account, as NAMESPACE/NAME, that acts as the daemon's on GKE. Null for none."
  type        = string
  default     = null

  validation {
    condition     = var.workload_identity == null || can(regex("^[a-z0-9-]+/[a-z0-9-]+$", var.workload_identity))
    error_message = "Give it as NAMESPACE/NAME, such as narrator/narrator-daemon."
  }
}
