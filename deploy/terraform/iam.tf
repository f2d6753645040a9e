resource "google_service_account" "narrator" {
  project      = var.project_id
  account_id   = "narrator-daemon"
  display_name = "narrator-daemon"
  description  = "Reads books and writes narrations."

  depends_on = [google_project_service.needed]
}

# Reads, writes and streams the database: no smaller predefined role writes. What it may write there is
# fenced by the rules, as it asks as firebase.database_auth_uid.
resource "google_project_iam_member" "database" {
  project = var.project_id
  role    = "roles/firebasedatabase.admin"
  member  = google_service_account.narrator.member
}

# Writes, reads and deletes its own audio, and no other object.
resource "google_storage_bucket_iam_member" "narrations" {
  bucket = google_storage_bucket.narrations.name
  role   = "roles/storage.objectUser"
  member = google_service_account.narrator.member

  condition {
    title       = "narrations-only"
    description = "The prefix of storage.object_name"
    expression  = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.narrations.name}/objects/narrations/\")"
  }
}

# Lists the bucket, which no condition on objects lets it do: the sweep looks for what nobody names.
resource "google_storage_bucket_iam_member" "list" {
  bucket = google_storage_bucket.narrations.name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.narrator.member
}

# Signs URLs without a key of its own.
resource "google_service_account_iam_member" "signs" {
  service_account_id = google_service_account.narrator.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.narrator.member
}

resource "google_service_account_iam_member" "workload_identity" {
  count = var.workload_identity == null ? 0 : 1

  service_account_id = google_service_account.narrator.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${var.workload_identity}]"
}
