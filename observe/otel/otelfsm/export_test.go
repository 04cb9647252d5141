package otelfsm

import "github.com/seed3893aba4/surestart/fsm"

// Tracer is what Option gives to a lifecycle.
func (o *Observer) Tracer() fsm.Tracer { return o.tracer }
