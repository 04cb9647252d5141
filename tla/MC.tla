-------------------------------- MODULE MC --------------------------------
(* What the configurations in this folder run: Quick.cfg, CI.cfg.          *)
EXTENDS Algorithm
===========================================================================
