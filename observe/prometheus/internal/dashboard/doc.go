// Package dashboard tests the Grafana dashboard in the repository's docs: the collectors
// export every metric that it queries, and a Prometheus server answers its queries.
package dashboard
