terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8.0"
    }
    # Firebase's own resources are in the beta provider alone.
    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 6.50, < 8.0"
    }
  }
}

provider "google" {
  project = var.project_id
  scopes  = local.scopes
}

provider "google-beta" {
  project = var.project_id
  # Firebase's interfaces want to know whose quota they use.
  billing_project       = var.project_id
  user_project_override = true
}

locals {
  # The rules of the database are set by the database itself, which wants a scope of its own.
  scopes = [
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/firebase.database",
  ]
}
