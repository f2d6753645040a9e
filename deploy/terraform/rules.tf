locals {
  database_rules = "${path.module}/../firebase/database.rules.json"
  storage_rules  = "${path.module}/../firebase/storage.rules"
}

resource "google_firebaserules_ruleset" "storage" {
  project = google_firebase_project.this.project

  source {
    files {
      name    = "storage.rules"
      content = file(local.storage_rules)
    }
  }

  lifecycle {
    # A release names one as long as it is the newest.
    create_before_destroy = true
  }
}

resource "google_firebaserules_release" "storage" {
  project      = google_firebase_project.this.project
  name         = "firebase.storage/${google_firebase_storage_bucket.narrations.bucket_id}"
  ruleset_name = google_firebaserules_ruleset.storage.name
}

data "google_client_config" "deployer" {}

# No resource of any provider sets the rules of a Realtime Database: it takes them itself. The token goes
# by standard input and the environment, where no list of processes shows it.
resource "terraform_data" "database_rules" {
  triggers_replace = [
    google_firebase_database_instance.books.database_url,
    filesha256(local.database_rules),
  ]

  provisioner "local-exec" {
    command = "printf 'Authorization: Bearer %s' \"$TOKEN\" | curl --silent --show-error --fail-with-body --request PUT --header @- --data-binary \"@$RULES\" \"$DATABASE_URL/.settings/rules.json\""

    environment = {
      TOKEN        = data.google_client_config.deployer.access_token
      RULES        = local.database_rules
      DATABASE_URL = google_firebase_database_instance.books.database_url
    }
  }
}
