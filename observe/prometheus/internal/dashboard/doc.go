// Package dashboard tests the Grafana dashboard in the repository's docs: that what
// it asks for is what the collectors export, and that a Prometheus answers it.
package dashboard
