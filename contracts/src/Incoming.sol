// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Money that arrives in full
/// @notice A token that keeps a fee of each transfer would leave less than the books say, so it is refused.
library Incoming {
    using SafeERC20 for IERC20;

    /// @notice Less money arrived than was sent: tokens that take a fee are refused.
    error ReceivedLess(uint256 received, uint256 required);

    /// @notice Pull `amount` from `from` by its allowance, all of it.
    function pull(IERC20 token, address from, uint256 amount) internal {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(from, address(this), amount);
        requireArrived(token, before, amount);
    }

    /// @notice Require that the balance grew by `amount` since it was `before`.
    function requireArrived(IERC20 token, uint256 before, uint256 amount) internal view {
        uint256 received = token.balanceOf(address(this)) - before;
        require(received == amount, ReceivedLess(received, amount));
    }
}
