locals {
  services = toset([
    "firebase.googleapis.com",
    "firebasedatabase.googleapis.com",
    "firebaserules.googleapis.com",
    "firebasestorage.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "storage.googleapis.com",
  ])
}

resource "google_project_service" "needed" {
  for_each = local.services

  project = var.project_id
  service = each.value
  # Others may use them as well.
  disable_on_destroy = false
}

resource "google_firebase_project" "this" {
  provider = google-beta
  project  = var.project_id

  depends_on = [google_project_service.needed]
}

resource "google_firebase_database_instance" "books" {
  provider    = google-beta
  project     = google_firebase_project.this.project
  region      = var.database_region
  instance_id = "${var.project_id}-default-rtdb"
  type        = "DEFAULT_DATABASE"

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_storage_bucket" "narrations" {
  project  = var.project_id
  name     = var.bucket
  location = var.bucket_location

  # Roles with conditions need it, and narrations are reached by signed URL alone.
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  dynamic "cors" {
    for_each = length(var.origins) > 0 ? [var.origins] : []

    content {
      origin          = cors.value
      method          = ["GET", "HEAD"]
      response_header = ["Content-Type", "Content-Range", "Accept-Ranges"]
      max_age_seconds = 3600
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.needed]
}

# Firebase knows the bucket, so that its rules hold there.
resource "google_firebase_storage_bucket" "narrations" {
  provider  = google-beta
  project   = google_firebase_project.this.project
  bucket_id = google_storage_bucket.narrations.name
}
