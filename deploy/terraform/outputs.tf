output "config" {
  description = "For config.toml."
  value       = <<-EOT
    [firebase]
    project_id = "${var.project_id}"
    database_url = "${google_firebase_database_instance.books.database_url}"
    storage_bucket = "${google_storage_bucket.narrations.name}"
    database_auth_uid = "narrator-daemon"
  EOT
}

output "service_account" {
  description = "Who the daemon is; for the annotation iam.gke.io/gcp-service-account."
  value       = google_service_account.narrator.email
}
