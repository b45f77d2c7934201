// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IPayToken} from "./IPayToken.sol";

/// @notice The rest of an EIP-3009 ReceiveWithAuthorization: from when (exclusive), until when (exclusive), signed.
struct Authorization {
    uint256 validAfter;
    uint256 validBefore;
    bytes signature;
}

/// @title How contracts take money
/// @notice What arrives must be what was sent: tokens that take a fee are refused.
library Money {
    using SafeERC20 for IERC20;

    /// @notice The token delivered another amount than was sent; tokens that take a fee are refused.
    error AmountDiffers(uint256 received, uint256 required);

    /// @dev Take `amount` from `from`, which allowed it.
    function take(IERC20 token, address from, uint256 amount) internal {
        uint256 had = token.balanceOf(address(this));
        token.safeTransferFrom(from, address(this), amount);
        requireReceived(token, had, amount);
    }

    /// @dev Take `amount` from `from`, which signed an authorisation with `nonce`.
    function takeSigned(
        IPayToken token,
        address from,
        uint256 amount,
        bytes32 nonce,
        Authorization calldata authorization
    ) internal {
        uint256 had = token.balanceOf(address(this));
        token.receiveWithAuthorization(
            from,
            address(this),
            amount,
            authorization.validAfter,
            authorization.validBefore,
            nonce,
            authorization.signature
        );
        requireReceived(token, had, amount);
    }

    /// @dev Require that the balance, which was `had` before, grew by `required`.
    function requireReceived(IERC20 token, uint256 had, uint256 required) internal view {
        uint256 received = token.balanceOf(address(this)) - had;
        require(received == required, AmountDiffers(received, required));
    }
}
