package main

import (
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/yaml"

	"github.com/seed3893aba4/surestart/fsm/fsmhttp"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
	"github.com/seed3893aba4/surestart/producer"
)

// The fields of Kubernetes' types that the manifest uses; a field that is not here is an
// error, and so is one that is there twice. (The whole API would take 20 modules, and longer
// to compile than all else here.)
type (
	kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   meta   `json:"metadata"`
	}
	meta struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	}
	labels     struct{ MatchLabels map[string]string }
	deployment struct {
		kind
		Spec struct {
			Replicas int
			Selector labels
			Strategy struct {
				RollingUpdate struct{ MaxUnavailable, MaxSurge int }
			}
			Template struct {
				Metadata meta
				Spec     pod
			}
		}
	}
	pod struct {
		TerminationGracePeriodSeconds int64
		AutomountServiceAccountToken  *bool
		SecurityContext               struct {
			RunAsNonRoot   bool
			RunAsUser      int64
			SeccompProfile struct{ Type string }
		}
		Containers []container
	}
	container struct {
		Name, Image string
		Args        []string
		Ports       []struct {
			Name          string
			ContainerPort int
		}
		Lifecycle struct {
			PreStop struct {
				Sleep struct{ Seconds int64 }
			}
		}
		StartupProbe, LivenessProbe, ReadinessProbe probe
		Resources                                   struct{ Requests, Limits map[string]string }
		SecurityContext                             struct {
			AllowPrivilegeEscalation *bool
			ReadOnlyRootFilesystem   bool
			Capabilities             struct{ Drop []string }
		}
	}
	probe struct {
		HTTPGet                                         struct{ Path, Port string }
		PeriodSeconds, TimeoutSeconds, FailureThreshold int
	}
	service struct {
		kind
		Spec struct {
			ClusterIP                string
			PublishNotReadyAddresses bool
			Selector                 map[string]string
			Ports                    []struct {
				Name       string
				Port       int
				TargetPort string
			}
		}
	}
	disruptionBudget struct {
		kind
		Spec struct {
			MaxUnavailable int
			Selector       labels
		}
	}
	serviceMonitor struct {
		kind
		Spec struct {
			Selector  labels
			Endpoints []struct{ Port, Path, Interval string }
		}
	}
)

// The manifest is well-formed; its numbers fit the program's, its paths and ports are the
// program's, and every label that one object selects is another object's.
func TestManifest(t *testing.T) {
	text, err := os.ReadFile("manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d deployment
	var public, private service
	var budget disruptionBudget
	var monitor serviceMonitor
	want := []struct {
		apiVersion, kind, name string
		into                   any
		is                     *kind
	}{
		{"apps/v1", "Deployment", "orders", &d, &d.kind},
		{"v1", "Service", "orders", &public, &public.kind},
		{"v1", "Service", "orders-admin", &private, &private.kind},
		{"policy/v1", "PodDisruptionBudget", "orders", &budget, &budget.kind},
		{"monitoring.coreos.com/v1", "ServiceMonitor", "orders", &monitor, &monitor.kind},
	}
	documents := strings.Split(string(text), "\n---\n")
	if len(documents) != len(want) {
		t.Fatalf("%d documents; want %d", len(documents), len(want))
	}
	for i, w := range want {
		if err := yaml.UnmarshalStrict([]byte(documents[i]), w.into); err != nil {
			t.Fatal(err)
		}
		if w.is.APIVersion != w.apiVersion || w.is.Kind != w.kind || w.is.Metadata.Name != w.name {
			t.Errorf("document %d is %+v; want %s %s %s", i, *w.is, w.apiVersion, w.kind, w.name)
		}
	}
	spec := d.Spec.Template.Spec
	if len(spec.Containers) != 1 {
		t.Fatalf("%d containers; want 1", len(spec.Containers))
	}
	c := spec.Containers[0]
	conf, err := parse(c.Args) // by the program's own flags
	if err != nil {
		t.Fatalf("the program does not take %q: %v", c.Args, err)
	}

	// Times.
	seconds := func(n int64) time.Duration { return time.Duration(n) * time.Second }
	needs := seconds(c.Lifecycle.PreStop.Sleep.Seconds) + conf.drain + conf.stop + 3*margin
	if grace := seconds(spec.TerminationGracePeriodSeconds); needs > grace || c.Lifecycle.PreStop.Sleep.Seconds < 1 {
		t.Errorf("preStop, -drain, -stop and three times %v need %v; Kubernetes kills after %v", margin, needs, grace)
	}

	// Labels.
	for of, selected := range map[string]struct{ selector, labels map[string]string }{
		"Deployment":          {d.Spec.Selector.MatchLabels, d.Spec.Template.Metadata.Labels},
		"Service":             {public.Spec.Selector, d.Spec.Template.Metadata.Labels},
		"Service of admin":    {private.Spec.Selector, d.Spec.Template.Metadata.Labels},
		"PodDisruptionBudget": {budget.Spec.Selector.MatchLabels, d.Spec.Template.Metadata.Labels},
		"ServiceMonitor":      {monitor.Spec.Selector.MatchLabels, private.Metadata.Labels},
	} {
		if len(selected.selector) == 0 {
			t.Errorf("the selector of the %s is empty", of)
		}
		for k, v := range selected.selector {
			if selected.labels[k] != v {
				t.Errorf("the %s selects %s=%s, which nothing has", of, k, v)
			}
		}
	}

	// Ports: those on which the program listens, and through the services to them.
	ports := make(map[string]string)
	for _, p := range c.Ports {
		ports[p.Name] = ":" + strconv.Itoa(p.ContainerPort)
	}
	if !maps.Equal(ports, map[string]string{"http": conf.addr, "admin": conf.admin}) {
		t.Errorf("the program listens on %s for orders and on %s; the container's ports are %v", conf.addr, conf.admin, ports)
	}
	for name, s := range map[string]service{"http": public, "admin": private} {
		if len(s.Spec.Ports) != 1 || s.Spec.Ports[0].TargetPort != name {
			t.Errorf("the ports of Service %s are %+v; want %s alone", s.Metadata.Name, s.Spec.Ports, name)
		}
	}

	// Paths: the program answers each, on the port of admin alone.
	p, err := producer.New(producer.Config{Brokers: []string{conf.brokers}, Topic: conf.topic})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(promfsm.NewCollector("orders"))
	admin := admin(fsmhttp.Page{"orders": p}, metrics)
	for name, of := range map[string]struct {
		probe
		path   string
		status int
	}{"startup": {c.StartupProbe, "/livez", 200}, "liveness": {c.LivenessProbe, "/livez", 200}, "readiness": {c.ReadinessProbe, "/readyz", 503}} { // it is not started
		answer := httptest.NewRecorder()
		admin.ServeHTTP(answer, httptest.NewRequest("GET", of.HTTPGet.Path, nil))
		if of.HTTPGet.Path != of.path || of.HTTPGet.Port != "admin" || answer.Code != of.status || of.PeriodSeconds < 1 || of.FailureThreshold < 1 || of.TimeoutSeconds < 1 {
			t.Errorf("the %s probe %+v is answered with %d; want %s on port admin, and %d", name, of.probe, answer.Code, of.path, of.status)
		}
	}
	// Ready answers within 5 s; a probe that gives up before counts as a failure at once.
	if c.ReadinessProbe.TimeoutSeconds <= 5 {
		t.Errorf("the readiness probe waits for %d s; a Ping may take 5", c.ReadinessProbe.TimeoutSeconds)
	}
	if len(monitor.Spec.Endpoints) != 1 || monitor.Spec.Endpoints[0].Port != private.Spec.Ports[0].Name {
		t.Fatalf("the ServiceMonitor scrapes %+v; want port %s", monitor.Spec.Endpoints, private.Spec.Ports[0].Name)
	}
	answer := httptest.NewRecorder()
	admin.ServeHTTP(answer, httptest.NewRequest("GET", monitor.Spec.Endpoints[0].Path, nil))
	if answer.Code != 200 || !strings.Contains(answer.Body.String(), "surestart_lifecycle_deaths_total") {
		t.Errorf("the ServiceMonitor's path %s is answered with %d: %s", monitor.Spec.Endpoints[0].Path, answer.Code, answer.Body)
	}

	// Rights and numbers of pods.
	s, cs := spec.SecurityContext, c.SecurityContext
	if !s.RunAsNonRoot || s.RunAsUser == 0 || s.SeccompProfile.Type != "RuntimeDefault" || spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken ||
		cs.AllowPrivilegeEscalation == nil || *cs.AllowPrivilegeEscalation || !cs.ReadOnlyRootFilesystem || !slices.Equal(cs.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("the pod's rights are %+v and %+v; want no more than it needs", s, cs)
	}
	if budget.Spec.MaxUnavailable >= d.Spec.Replicas || d.Spec.Strategy.RollingUpdate.MaxUnavailable != 0 || d.Spec.Strategy.RollingUpdate.MaxSurge < 1 {
		t.Errorf("%d replicas, a disruption takes %d, an update %+v; want one pod that is ready at each moment", d.Spec.Replicas, budget.Spec.MaxUnavailable, d.Spec.Strategy.RollingUpdate)
	}
}

// The image is built with the Go of go.mod, from one static file, and its user is the pod's.
func TestDockerfile(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	image, module, pod := read("Dockerfile"), read("../go.mod"), read("manifest.yaml")
	_, version, _ := strings.Cut(module, "\ngo ")
	version, _, _ = strings.Cut(version, ".0\n")
	for _, want := range []string{"FROM golang:" + version + " AS build\n", "RUN CGO_ENABLED=0 go build ", "/static-debian12:nonroot\n", "ENTRYPOINT [\"/orders\"]\n"} {
		if !strings.Contains(image, want) {
			t.Errorf("the Dockerfile lacks %q", want)
		}
	}
	if !strings.Contains(pod, "runAsUser: 65532\n") { // distroless's nonroot
		t.Error("the pod's user is not the image's")
	}
}
