"""The injector: an admission webhook that puts a sidecar into the pods that ask for one by a label.

What a pod gets is `template`, what a pod may say about it is `annotations`, what changes in a pod is `mutation`. These
three are pure. `server`, `certificates` and `webhook` make a process of them.
"""
