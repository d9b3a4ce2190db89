"""Acting: a policy in environments, unrolls, evaluations, videos."""
