package main

import (
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed3893aba4/surestart/producer"
)

// What of Kubernetes' types the manifest uses; a field that is not here is an error,
// and so is one that is there twice. (The whole API would take 20 modules, and longer to compile than all else here.)
type (
	meta struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	}
	deployment struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   meta   `json:"metadata"`
		Spec       struct {
			Replicas int `json:"replicas"`
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
			Strategy struct {
				RollingUpdate struct {
					MaxUnavailable, MaxSurge int
				} `json:"rollingUpdate"`
			} `json:"strategy"`
			Template struct {
				Metadata meta `json:"metadata"`
				Spec     struct {
					TerminationGracePeriodSeconds int64       `json:"terminationGracePeriodSeconds"`
					Containers                    []container `json:"containers"`
				} `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	container struct {
		Name, Image string
		Args        []string
		Ports       []struct {
			Name          string `json:"name"`
			ContainerPort int    `json:"containerPort"`
		}
		Lifecycle struct {
			PreStop struct {
				Sleep struct{ Seconds int64 }
			} `json:"preStop"`
		}
		LivenessProbe   probe `json:"livenessProbe"`
		ReadinessProbe  probe `json:"readinessProbe"`
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext map[string]bool `json:"securityContext"`
	}
	probe struct {
		HTTPGet          struct{ Path, Port string } `json:"httpGet"`
		PeriodSeconds    int                         `json:"periodSeconds"`
		TimeoutSeconds   int                         `json:"timeoutSeconds"`
		FailureThreshold int                         `json:"failureThreshold"`
	}
	service struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   meta   `json:"metadata"`
		Spec       struct {
			Selector map[string]string `json:"selector"`
			Ports    []struct {
				Name       string `json:"name"`
				Port       int    `json:"port"`
				TargetPort string `json:"targetPort"`
			} `json:"ports"`
		} `json:"spec"`
	}
)

// The manifest is well-formed, and its numbers fit the program's.
func TestManifest(t *testing.T) {
	text, err := os.ReadFile("manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(string(text), "\n---\n")
	if len(documents) != 2 {
		t.Fatalf("%d documents; want a Deployment and a Service", len(documents))
	}
	var d deployment
	var s service
	for i, into := range []any{&d, &s} {
		if err := yaml.UnmarshalStrict([]byte(documents[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	if d.Kind != "Deployment" || d.APIVersion != "apps/v1" || s.Kind != "Service" || s.APIVersion != "v1" || len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%+v, %+v", d, s)
	}
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	conf, err := parse(c.Args) // by the program's own flags
	if err != nil {
		t.Fatalf("the program does not take %q: %v", c.Args, err)
	}
	const margin = 3 * time.Second // to start, and to end
	seconds := func(n int64) time.Duration { return time.Duration(n) * time.Second }
	needs := seconds(c.Lifecycle.PreStop.Sleep.Seconds) + conf.drain + conf.stop + margin
	if grace := seconds(pod.TerminationGracePeriodSeconds); needs > grace || c.Lifecycle.PreStop.Sleep.Seconds < 1 {
		t.Errorf("preStop, -drain, -stop and %v need %v; Kubernetes kills after %v", margin, needs, grace)
	}

	for _, labels := range []map[string]string{d.Spec.Selector.MatchLabels, s.Spec.Selector} {
		if len(labels) == 0 {
			t.Error("a selector is empty")
		}
		for k, v := range labels {
			if d.Spec.Template.Metadata.Labels[k] != v {
				t.Errorf("no pod has the label %s=%s", k, v)
			}
		}
	}
	port := c.Ports[0]
	if conf.addr != ":"+strconv.Itoa(port.ContainerPort) || s.Spec.Ports[0].TargetPort != port.Name {
		t.Errorf("the program listens on %s, the container's port is %+v, the service's %+v", conf.addr, port, s.Spec.Ports[0])
	}

	p, err := producer.New(producer.Config{Brokers: []string{conf.brokers}, Topic: conf.topic})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for want, of := range map[string]struct {
		probe
		status int
	}{"/livez": {c.LivenessProbe, 200}, "/readyz": {c.ReadinessProbe, 503}} { // it is not started
		answer := httptest.NewRecorder()
		handler(p).ServeHTTP(answer, httptest.NewRequest("GET", of.HTTPGet.Path, nil))
		if of.HTTPGet.Path != want || of.HTTPGet.Port != port.Name || answer.Code != of.status || of.PeriodSeconds < 1 || of.FailureThreshold < 1 || of.TimeoutSeconds < 1 {
			t.Errorf("the probe %+v is answered with %d; want %s on port %s, and %d", of.probe, answer.Code, want, port.Name, of.status)
		}
	}
	// Ready answers within 5 s, with what has failed if it must; a probe that gives up
	// before counts as a failure at once.
	if c.ReadinessProbe.TimeoutSeconds <= 5 {
		t.Errorf("the readiness probe waits for %d s; a Ping may take 5", c.ReadinessProbe.TimeoutSeconds)
	}
}
