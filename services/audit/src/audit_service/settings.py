"""What the audit service is told."""

from purser_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Nothing beyond what every service is told."""
